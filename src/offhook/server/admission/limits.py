"""How many sessions are live, exactly: counted before anything is waited for."""

from offhook.server.admission.rules import DrainingError, check_admission


class Limits:
    """The lines of this server. A line is taken before its session starts and freed at its end."""

    def __init__(self, *, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._live = 0
        self._is_draining = False

    @property
    def live(self) -> int:
        """Lines taken."""
        return self._live

    @property
    def is_draining(self) -> bool:
        """Whether nobody is admitted any more."""
        return self._is_draining

    def check(self) -> None:
        """Raise as `check_admission` does if no session could start now; takes nothing."""
        check_admission(live=self._live, limit=self._max_sessions, is_draining=self._is_draining)

    def check_serving(self) -> None:
        """Raise DrainingError if the server began to end since the line was taken."""
        if self._is_draining:
            raise DrainingError

    def take(self) -> None:
        """Take a line, or raise as `check` does."""
        self.check()
        self._live += 1

    def free(self) -> None:
        """Give a line back."""
        self._live -= 1

    def drain(self) -> None:
        """Admit nobody from now on."""
        self._is_draining = True

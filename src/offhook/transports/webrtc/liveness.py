"""Is the client still there? Pure: events and the time go in, a verdict comes out."""

from typing import Final

from offhook.protocol.endings import EndReason

RECONNECT_SHARE: Final = 2.0
"""How long a client may take to come back, in times of what makes it count as lost."""


class Liveness:
    """Watches over one connection from its first offer to its end."""

    def __init__(self, *, connect_timeout_s: float, lost_after_s: float, now: float) -> None:
        self._patience_s = connect_timeout_s
        self._lost_after_s = lost_after_s
        self._waiting_since: float | None = now
        self._has_connected = False
        self._heard_at = now

    @property
    def deadline(self) -> float:
        """When `verdict` wants to be asked again, should nothing happen until then."""
        if self._waiting_since is not None:
            return self._waiting_since + self._patience_s
        return self._heard_at + self._lost_after_s

    def connecting(self, *, now: float) -> None:
        """Another peer connection is being made in place of the one before."""
        self._waiting_since = now
        if self._has_connected:
            self._patience_s = min(self._patience_s, RECONNECT_SHARE * self._lost_after_s)

    def connected(self, *, now: float) -> None:
        """The peer connection stands."""
        self._waiting_since = None
        self._has_connected = True
        self._heard_at = now

    def heard(self, *, now: float) -> None:
        """Something came from the client: a packet, a message, an answered check."""
        self._heard_at = now

    def verdict(self, *, now: float) -> EndReason | None:
        """Give the reason to end, or none."""
        if now < self.deadline:
            return None
        return EndReason.CLIENT_LOST if self._has_connected else EndReason.NEVER_CONNECTED

"""Is the client still there? Pure: events and the time go in, a verdict comes out."""

from offhook.protocol.endings import EndReason


class Liveness:
    """Watches over one connection from its first offer to its end."""

    def __init__(self, *, connect_timeout_s: float, lost_after_s: float, now: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._lost_after_s = lost_after_s
        self._waiting_since: float | None = now
        self._has_connected = False
        self._heard_at = now

    @property
    def deadline(self) -> float:
        """When `verdict` wants to be asked again, should nothing happen until then."""
        if self._waiting_since is not None:
            return self._waiting_since + self._connect_timeout_s
        return self._heard_at + self._lost_after_s

    def connecting(self, *, now: float) -> None:
        """A peer connection is being made, the first one or another."""
        self._waiting_since = now

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

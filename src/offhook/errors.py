"""The error tree: four roots, each naming whose fault it was.

- `OffhookError`
    - `PeerError`: what the other side sent cannot be used.
    - `RefusedError`: we could, but chose not to.
    - `UsageError`: the operator or the bot's author has to change something.
    - `WorkerError`: a bot process failed.
"""

from typing import ClassVar


class OffhookError(Exception):
    """Root of everything raised on purpose.

    Attributes:
        code: Stable, machine-readable name of what happened, in snake case.
        hint: What the reader can do next; empty when there is nothing to do.
    """

    code: ClassVar[str] = "error"
    hint: ClassVar[str] = ""

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if hint is not None:
            self.hint = hint  # type: ignore[misc]  # an instance may know better than its class


class PeerError(OffhookError):
    """The other side sent something that cannot be used."""

    code = "bad_request"


class RefusedError(OffhookError):
    """The request was fine; we chose not to serve it."""

    code = "refused"


class UsageError(OffhookError):
    """The operator or the bot's author has to change something."""

    code = "usage"


class WorkerError(OffhookError):
    """A bot process failed."""

    code = "worker_failed"


class BadMessageError(PeerError):
    """A message does not have the shape that its protocol demands."""

    code = "bad_message"

    def __init__(self, protocol: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"unusable {protocol} message: {problem}", hint=hint)
        self.protocol, self.problem = protocol, problem


class BadOfferError(PeerError):
    """An SDP offer cannot be answered."""

    code = "bad_offer"
    hint = "Send the complete SDP of an RTCPeerConnection offer with an audio section."


class UnknownSessionError(PeerError):
    """No session has this id."""

    code = "unknown_session"
    hint = "Open a new session with POST /start."


class UnknownConnectionError(PeerError):
    """No live peer connection has this `pc_id`."""

    code = "unknown_connection"
    hint = "Send an offer first; its answer carries the pc_id."

    def __init__(self) -> None:
        super().__init__("Peer connection not found")


class SessionEndedError(PeerError):
    """The session that is asked for is over."""

    code = "session_ended"
    hint = "Open a new session with POST /start."

"""Signaling hand-off: offers, answers and candidates pass through; media never does."""

import contextlib
from collections.abc import Sequence

import anyio

from offhook.channel import ChannelClosedError
from offhook.errors import BadOfferError, OffhookError, WorkerError
from offhook.protocol.control import Answered, Candidates, IceCandidate, Offer
from offhook.server.handoff.lease import Lease


class AnswerTimeoutError(WorkerError):
    """The worker did not answer an offer in time."""

    code = "answer_timeout"
    hint = "Try again; the server's log says what the bot's process was doing."

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"The bot's process did not answer the offer within {timeout_s:g} s.")


class AnswerFailedError(WorkerError):
    """The worker could not answer an offer that looked fine."""

    code = "answer_failed"
    hint = "Try again; the server's log says more."


class _Reply:
    def __init__(self) -> None:
        self.arrived = anyio.Event()
        self.message: Answered | None = None


class Signaling:
    """Relays one session's negotiation to its worker and pairs the replies by number."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._last_request = 0
        self._expected: dict[int, _Reply] = {}
        self._failure: OffhookError | None = None

    async def offer(
        self, sdp: str, *, pc_id: str | None, restart_pc: bool, timeout_s: float
    ) -> Answered:
        """Hand over an offer and wait for its answer. Cancelled, it forgets the answer.

        Raises:
            BadOfferError: The worker cannot answer this offer.
            WorkerError: The worker has gone, failed, or did not answer in time.
        """
        self._last_request += 1
        request, reply = self._last_request, _Reply()
        self._expected[request] = reply
        try:
            if self._failure is None:
                offer = Offer(request=request, sdp=sdp, pc_id=pc_id, restart_pc=restart_pc)
                # A worker that has gone is noticed by who listens to it, who also learns why.
                with contextlib.suppress(ChannelClosedError):
                    self._lease.send(offer)
                with anyio.move_on_after(timeout_s):
                    await reply.arrived.wait()
        finally:
            del self._expected[request]
        if reply.message is None:
            raise self._failure or AnswerTimeoutError(timeout_s)
        if reply.message.problem:
            blame = BadOfferError if reply.message.is_peer_fault else AnswerFailedError
            raise blame(reply.message.problem)
        return reply.message

    def add_ice_candidates(self, candidates: Sequence[IceCandidate]) -> None:
        """Hand over what the client found; raises as `Lease.send` does."""
        self._lease.send(Candidates(candidates=tuple(candidates)))

    def receive(self, message: Answered) -> None:
        """Give a reply to whoever waits for it; one that nobody waits for is dropped."""
        if (reply := self._expected.get(message.request)) is not None:
            reply.message = message
            reply.arrived.set()

    def fail(self, error: OffhookError) -> None:
        """Tell all who wait, now and later, that no answer will come."""
        self._failure = error
        for reply in self._expected.values():
            reply.arrived.set()

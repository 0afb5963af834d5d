"""One live session: its worker is listened to and, when it is time, asked and forced to end."""

import contextlib
import logging
import math
from signal import Signals
from typing import Final

import anyio

from offhook.channel import ChannelClosedError
from offhook.clock import Clock
from offhook.errors import BadOfferError, WorkerError
from offhook.protocol.control import (
    Answered,
    AnyMessage,
    CloseSession,
    Heartbeat,
    Progress,
    SessionEnded,
    StartBot,
    Step,
)
from offhook.protocol.endings import WORDS, Ending, EndReason
from offhook.server.admission.rules import DrainingError
from offhook.server.config import Config
from offhook.server.handoff.lease import Lease, WorkerExit
from offhook.server.handoff.signaling import Signaling
from offhook.server.sessions import TRANSITIONS, Session, State

log = logging.getLogger(__name__)

LAST_WORDS_S: Final = 0.25
"""How long the channel of a process that has gone is still read."""
DUMP_S: Final = 0.3
KILL_S: Final = 5.0
CONNECTED: Final = frozenset({Step.ICE_CONNECTED, Step.DTLS_DONE})


class BotFailedError(WorkerError):
    """The bot's process ended before it answered."""

    code = "bot_failed"
    hint = "The session's log (GET /sessions/{id}/log) has what the process printed last."


class LiveSession:
    """A session together with its worker, from the lease to the reaping."""

    def __init__(self, session: Session, lease: Lease, *, config: Config, clock: Clock) -> None:
        self.session, self.lease = session, lease
        self.signaling = Signaling(lease)
        self._config, self._clock = config, clock
        self._asked: EndReason | None = None
        self._said: SessionEnded | None = None
        self._exit: WorkerExit | None = None
        self._exited = anyio.Event()
        self._listening = anyio.CancelScope()
        self._heard_at = self._asked_at = anyio.current_time()
        self._answered_at = self._client_ready_at = math.inf

    def start_bot(self, *, body: bytes) -> None:
        """Tell the worker what to run. If it has gone already, `run()` notices and says why.

        Raises:
            ChannelFullError: It does not listen.
        """
        order = StartBot(session_id=self.session.id, kind=self.session.transport, body=body)
        with contextlib.suppress(ChannelClosedError):
            self.lease.send(order)

    def answered(self) -> None:
        """Note that the client has its answer; from now on it may connect."""
        if self.session.state is State.STARTING:
            self._answered_at = anyio.current_time()
            self.session.advance(State.CONNECTING)
            self.session.mark(Step.ANSWER_SENT, self._clock.now())
            self._set_deadline()

    def give_up(self, error: BaseException) -> None:
        """Ask the worker to end a session whose first offer got no answer because of this error."""
        match error:
            case BadOfferError():
                self.ask_to_end(EndReason.BAD_OFFER)
            case WorkerError():
                self.ask_to_end(EndReason.BOT_UNRESPONSIVE)
            case DrainingError():
                self.ask_to_end(EndReason.DRAINED)
            case _:  # cancelled: nobody waits for the answer any more
                self.ask_to_end(EndReason.CLIENT_LEFT)

    def ask_to_end(self, reason: EndReason) -> None:
        """Ask the worker to end the session; `run()` forces it later. Safe to call twice."""
        if self._asked is not None or self._said is not None or self._exit is not None:
            return
        self._asked, self._asked_at = reason, anyio.current_time()
        self._enter_ending()
        self._set_deadline()
        grace_s = self._config.close_timeout_s
        try:
            self.lease.send(CloseSession(reason=reason, words=WORDS[reason], grace_s=grace_s))
        except WorkerError as error:
            facts = {"session_id": self.session.id, "problem": error.detail}
            log.info("worker cannot be asked", extra=facts)

    async def run(self) -> Ending:
        """Listen until the process has gone, and return how the session ended.

        Cancelled, it ends the process by force and lets go when it has been reaped.
        """
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._await_exit)
                await self._listen()
                await self._see_out()
                group.cancel_scope.cancel()
        finally:
            await self._reap()
        return self._ending()

    async def _await_exit(self) -> None:
        self._exit = await self.lease.exited()
        self._exited.set()
        self._set_deadline()

    async def _listen(self) -> None:
        """Take messages until the last one, the end of the channel, or a deadline without mercy."""
        while True:
            with anyio.CancelScope() as self._listening:
                self._set_deadline()
                await self._receive()
                return
            if self._asked is not None or self._exit is not None:
                return
            self.ask_to_end(self._deadline()[1])

    async def _receive(self) -> None:
        with contextlib.suppress(anyio.EndOfStream):
            while self._said is None:
                self._take(await self.lease.receive())

    async def _see_out(self) -> None:
        """Leave a process that ends by itself its time; then have the stacks written, and kill."""
        self._enter_ending()
        if self._asked is None or self._said is not None:
            with anyio.move_on_after(self._config.close_timeout_s):
                await self._exited.wait()
        if self._exit is not None:
            return
        if self._asked is None:
            self._asked = EndReason.BOT_UNRESPONSIVE
        log.warning("worker is ended by force", extra=self._facts())
        self.lease.dump_stacks()
        with anyio.move_on_after(DUMP_S):
            await self._exited.wait()
        self.lease.kill()
        with anyio.move_on_after(KILL_S):
            await self._exited.wait()

    async def _reap(self) -> None:
        if self._exit is None:
            self.lease.kill()
            with anyio.move_on_after(KILL_S, shield=True):
                self._exit = await self.lease.exited()

    def _take(self, message: AnyMessage) -> None:
        self._heard_at = anyio.current_time()
        match message:
            case Heartbeat():
                pass
            case Progress(step=step, at=at):
                self._take_step(step, at)
            case Answered():
                self.signaling.receive(message)
            case SessionEnded():
                self._said = message
            case _:
                facts = {**self._facts(), "type": type(message).__name__}
                log.warning("worker sent an unexpected message", extra=facts)
        self._set_deadline()

    def _take_step(self, name: str, at: float) -> None:
        try:
            step = Step(name)
        except ValueError:
            log.debug("unknown step", extra={**self._facts(), "step": name})
            return
        if step is Step.CLIENT_READY:
            self._client_ready_at = min(self._client_ready_at, self._heard_at)
        self.session.mark(step, at)

    def _set_deadline(self) -> None:
        self._listening.deadline = self._deadline()[0]

    def _deadline(self) -> tuple[float, EndReason]:
        """Say when patience ends, and with which reason.

        The worker keeps the same deadlines itself; the server is later by the time of a polite end.
        """
        config, steps = self._config, self.session.steps
        if self._exit is not None:
            return anyio.current_time() + LAST_WORDS_S, EndReason.BOT_CRASHED
        if self._asked is not None:
            return self._asked_at + config.close_timeout_s, self._asked
        deadlines = [(self._heard_at + config.unresponsive_after_s, EndReason.BOT_UNRESPONSIVE)]
        if not steps.keys() & CONNECTED:
            limit_s = config.connect_timeout_s + config.close_timeout_s
            deadlines.append((self._answered_at + limit_s, EndReason.NEVER_CONNECTED))
        if Step.BOT_READY not in steps:
            limit_s = config.handshake_timeout_s + config.close_timeout_s
            deadlines.append((self._client_ready_at + limit_s, EndReason.HANDSHAKE_TIMEOUT))
        return min(deadlines)

    def _enter_ending(self) -> None:
        if State.ENDING in TRANSITIONS[self.session.state]:
            self.session.advance(State.ENDING)
            self.session.mark(Step.CLOSING, self._clock.now())

    def _ending(self) -> Ending:
        """Find the one reason: the session's own word, else ours, else the exit status."""
        if self._said is not None and self._said.reason in WORDS:
            return Ending(EndReason(self._said.reason), self._said.detail)
        if self._asked is not None or self._exit is None:
            return Ending(self._asked or EndReason.BOT_UNRESPONSIVE)
        return Ending(EndReason.BOT_CRASHED, _describe(self._exit))

    def _facts(self) -> dict[str, object]:
        return {"session_id": self.session.id, "pid": self.lease.pid}


def _describe(worker_exit: WorkerExit) -> str:
    number = worker_exit.signal
    if number is None:
        return f"exit code {worker_exit.exit_code}"
    try:
        return f"signal {Signals(number).name}"
    except ValueError:
        return f"signal {number}"

"""The story of a session: admit → lease → hand off → wait → tear down, with one end reason."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.abc import TaskGroup

from offhook.channel import ChannelClosedError
from offhook.clock import Clock
from offhook.errors import (
    OffhookError,
    SessionEndedError,
    UnknownConnectionError,
    UnknownSessionError,
)
from offhook.ids import SessionId, new_session_id
from offhook.protocol.control import IceCandidate, Step
from offhook.protocol.endings import Ending, EndReason
from offhook.server.admission.limits import Limits
from offhook.server.config import Config
from offhook.server.handoff.lease import Lease, Pool
from offhook.server.live import BotFailedError, LiveSession
from offhook.server.records import Record, Records
from offhook.server.sessions import Registry, Requests, Session, SessionRequest, State

log = logging.getLogger(__name__)

TRANSPORT: Final = "webrtc"
EXPIRY_INTERVAL_S: Final = 5.0
FORCE_S: Final = 2.0
EMPTY_BODY: Final = b"{}"


@dataclass(frozen=True, kw_only=True)
class OfferRequest:
    """A checked offer, and what came with it.

    Attributes:
        body: JSON text for the bot; None when there was none.
        accepted_at: When its request began to be read, by the dispatcher's clock.
    """

    sdp: str
    pc_id: str | None = None
    is_restart: bool = False
    body: bytes | None = None
    accepted_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the client gets for its offer."""

    session_id: SessionId
    sdp: str
    pc_id: str


class Dispatcher:
    """Answers for every session of this server. Doors ask it; it asks the pool."""

    def __init__(self, *, config: Config, clock: Clock, pool: Pool) -> None:
        self.config = config
        self._clock, self._pool = clock, pool
        self._limits = Limits(max_sessions=config.max_sessions)
        self._requests = Requests(ttl_s=config.request_ttl_s)
        self._registry = Registry()
        self._records = Records()
        self._lives: dict[SessionId, LiveSession] = {}
        self._answering: dict[SessionId, anyio.Lock] = {}
        self._group: TaskGroup | None = None
        self._emptied = anyio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Own the tasks of all sessions; what is still live at the end is ended by force."""
        async with anyio.create_task_group() as self._group:
            self._group.start_soon(self._expire_requests)
            try:
                yield
            finally:
                self._limits.drain()
                self._group.cancel_scope.cancel()

    # What doors ask

    @property
    def is_draining(self) -> bool:
        """Whether nobody is admitted any more."""
        return self._limits.is_draining

    def is_ready(self) -> bool:
        """Whether a bot could be started now or soon."""
        return not self._limits.is_draining and self._pool.is_ready()

    def now(self) -> float:
        """Read the clock that dates the steps of sessions."""
        return self._clock.now()

    def request(self, body: bytes) -> Session:
        """Open a session that waits for its offer; no bot is started yet.

        Raises:
            RefusedError: A session could not start now.
        """
        self._limits.check()
        session = self._new_session()
        self._requests.add(SessionRequest(session, body), now=self._clock.now())
        return session

    async def answer_new(self, offer: OfferRequest) -> Answer:
        """Answer an offer to nobody in particular: its `pc_id` says whether it goes on or begins.

        Raises:
            OffhookError: No answer; the class says why.
        """
        if offer.pc_id:
            if (session := self._registry.get_by_connection(offer.pc_id)) is not None:
                return await self.answer(session.id, offer)
            ended = self._records.get_by_connection(offer.pc_id)
            if ended is not None and offer.is_restart:
                raise _ended_error(ended)
        self._limits.take()
        session = self._new_session(offer.accepted_at)
        return await self._start(session, offer, offer.body or EMPTY_BODY)

    async def answer(self, session_id: SessionId, offer: OfferRequest) -> Answer:
        """Answer an offer to a session: its first starts the bot, later ones renegotiate.

        Raises:
            OffhookError: No answer; the class says why.
        """
        # A second offer while the first is being answered waits for its turn.
        lock = self._answering.setdefault(session_id, anyio.Lock())
        try:
            async with lock:
                return await self._answer(session_id, offer)
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._answering.pop(session_id, None)

    async def _answer(self, session_id: SessionId, offer: OfferRequest) -> Answer:
        if (live := self._lives.get(session_id)) is not None:
            return await self._renegotiate(live, offer)
        request = self._requests.get(session_id, now=self._clock.now())
        if request is None:
            raise self._not_live(session_id)
        self._limits.take()
        self._requests.remove(session_id)
        body = request.body if offer.body is None else offer.body
        return await self._start(request.session, offer, body)

    def add_ice_candidates(
        self, pc_id: str, candidates: Sequence[IceCandidate], *, session_id: SessionId | None = None
    ) -> None:
        """Hand trickled candidates to the worker of a `pc_id`.

        Raises:
            PeerError: No live session has this connection.
            ChannelFullError: The worker does not listen.
        """
        if session_id is not None and session_id not in self._lives:
            raise self._not_live(session_id)
        session = self._registry.get_by_connection(pc_id)
        if session is None or (session_id is not None and session.id != session_id):
            raise UnknownConnectionError
        # Its earlier peer connections have gone: what they found helps nobody.
        if pc_id != session.connection_ids[-1]:
            return
        try:
            self._lives[session.id].signaling.add_ice_candidates(candidates)
        except ChannelClosedError as error:
            raise SessionEndedError("The session is ending.") from error

    def find(self, session_id: SessionId) -> Session:
        """Find a session that waits, lives, or ended not long ago.

        Raises:
            UnknownSessionError: There is none.
        """
        if (session := self._registry.get(session_id)) is not None:
            return session
        if (request := self._requests.get(session_id, now=self._clock.now())) is not None:
            return request.session
        if (record := self._records.get(session_id)) is not None:
            return record.session
        raise _unknown_error()

    def live_sessions(self) -> list[Session]:
        """Return the live sessions, oldest first."""
        return list(self._registry)

    def ended_sessions(self, count: int) -> list[Session]:
        """Return the last `count` ended sessions, newest first."""
        return self._records.newest(count)

    def log_of(self, session_id: SessionId) -> bytes:
        """Return what the session's process printed last.

        Raises:
            UnknownSessionError: There is no such session.
        """
        if (live := self._lives.get(session_id)) is not None:
            return live.lease.log_tail().encode(errors="replace")
        if (record := self._records.get(session_id)) is not None:
            return record.log
        self.find(session_id)
        return b""

    async def end(self, session_id: SessionId, reason: EndReason) -> None:
        """End a session and wait until its process has gone; bounded by the close timeout.

        Raises:
            PeerError: No session to end.
        """
        if (live := self._lives.get(session_id)) is not None:
            live.ask_to_end(reason)
            while live.session.state is not State.ENDED:
                await live.session.changed()
            return
        now = self._clock.now()
        session = self.find(session_id)
        if session.ending is not None:
            raise self._not_live(session_id)
        self._requests.remove(session_id)
        session.end(Ending(reason), now)

    def abandon(self, session_id: SessionId) -> None:
        """End a session whose client went away without its answer: it knows no way back."""
        if (live := self._lives.get(session_id)) is not None:
            live.ask_to_end(EndReason.CLIENT_LEFT)

    async def aclose(self, reason: EndReason = EndReason.DRAINED, *, grace_s: float = 5.0) -> None:
        """Admit nobody and ask all sessions at once to end; after `grace_s` force them."""
        self._limits.drain()
        self._requests.clear(Ending(reason), now=self._clock.now())
        for live in tuple(self._lives.values()):
            live.ask_to_end(reason)
        with anyio.move_on_after(grace_s):
            await self._wait_until_empty()
        self.kill()
        with anyio.move_on_after(FORCE_S):
            await self._wait_until_empty()

    def kill(self) -> None:
        """End all sessions by force, now."""
        for live in tuple(self._lives.values()):
            live.lease.kill()

    # The story itself

    async def _start(self, session: Session, offer: OfferRequest, body: bytes) -> Answer:
        """Start the bot of a session whose line is taken, and relay its first offer."""
        self._registry.add(session)
        try:
            session.advance(State.ADMITTED)
            session.mark(Step.ADMITTED, self._clock.now())
            session.advance(State.STARTING)
            lease = await self._pool.lease(
                session_id=session.id, timeout_s=self.config.start_timeout_s
            )
        except Exception as error:
            self._close(session, Ending(EndReason.NO_WORKER, str(error)))
            raise
        except BaseException:  # cancelled: nobody waits for the answer any more
            self._close(session, Ending(EndReason.CLIENT_LEFT))
            raise
        live = self._open(session, lease)
        try:
            self._start_bot(live, body)
            answer = await self._relay(live, offer, is_restart=False)
        except BaseException as error:
            live.give_up(error)
            raise
        after_ms = round((self._clock.now() - session.accepted_at) * 1000, 1)
        facts = {"session_id": session.id, "pid": session.pid, "after_ms": after_ms}
        log.info("session answered", extra=facts)
        return answer

    def _open(self, session: Session, lease: Lease) -> LiveSession:
        session.pid = lease.pid
        session.mark(Step.WORKER_LEASED, self._clock.now())
        live = LiveSession(session, lease, config=self.config, clock=self._clock)
        self._lives[session.id] = live
        return live

    def _start_bot(self, live: LiveSession, body: bytes) -> None:
        """Send the order first: it is what the caller waits for."""
        if self._group is None:  # pragma: no cover -- a bug of ours
            raise RuntimeError("sessions need the task group of serving()")
        try:
            self._limits.check_serving()
            live.start_bot(body=body)
        finally:
            self._group.start_soon(self._live, live)

    async def _live(self, live: LiveSession) -> None:
        """Be with a session until its process has been reaped; whatever happens, tear it down."""
        ending = Ending(EndReason.DRAINED)
        try:
            ending = await live.run()
        except (
            Exception
        ):  # the session boundary: a bug here ends this session and spares the others
            log.exception("session failed", extra={"session_id": live.session.id})
            ending = Ending(EndReason.BOT_UNRESPONSIVE, "the server failed")
        finally:
            self._close(live.session, ending)

    async def _relay(self, live: LiveSession, offer: OfferRequest, *, is_restart: bool) -> Answer:
        answered = await live.signaling.offer(
            offer.sdp,
            pc_id=offer.pc_id if offer.pc_id in live.session.connection_ids else None,
            restart_pc=is_restart,
            timeout_s=self.config.start_timeout_s,
        )
        self._registry.bind(live.session, answered.pc_id)
        live.answered()
        return Answer(session_id=live.session.id, sdp=answered.sdp, pc_id=answered.pc_id)

    async def _renegotiate(self, live: LiveSession, offer: OfferRequest) -> Answer:
        if live.session.state is State.ENDING:
            raise SessionEndedError("The session is ending.")
        is_known = offer.pc_id in live.session.connection_ids
        # Without the pc_id the client has a new peer connection: swap ours, keep the bot.
        return await self._relay(live, offer, is_restart=offer.is_restart or not is_known)

    def _close(self, session: Session, ending: Ending) -> None:
        """The one teardown: record, free the line, tell who waits."""
        live = self._lives.pop(session.id, None)
        self._registry.remove(session)
        session.end(ending, self._clock.now())
        self._records.add(session, "" if live is None else live.lease.log_tail())
        self._limits.free()
        if live is not None:
            live.signaling.fail(BotFailedError(ending.words))
        if not self._limits.live:
            self._emptied.set()
            self._emptied = anyio.Event()
        log.info(
            "session ended",
            extra={
                "session_id": session.id,
                "reason": ending.reason,
                "detail": ending.detail,
                "after_s": round(self._clock.now() - session.accepted_at, 3),
            },
        )

    # Small change

    def _new_session(self, accepted_at: float | None = None) -> Session:
        return Session(
            session_id=new_session_id(self.config.node),
            transport=TRANSPORT,
            node=self.config.node,
            now=self._clock.now() if accepted_at is None else accepted_at,
            started_at=self._clock.wall(),
        )

    def _not_live(self, session_id: SessionId) -> OffhookError:
        record = self._records.get(session_id)
        return _unknown_error() if record is None else _ended_error(record)

    async def _wait_until_empty(self) -> None:
        while self._limits.live:
            await self._emptied.wait()

    async def _expire_requests(self) -> None:
        while True:
            await anyio.sleep(EXPIRY_INTERVAL_S)
            self._requests.expire(now=self._clock.now())


def _unknown_error() -> UnknownSessionError:
    return UnknownSessionError("There is no such session; ids of requests expire.")


def _ended_error(record: Record) -> SessionEndedError:
    ending = record.session.ending
    return SessionEndedError("The session is over." if ending is None else ending.words)

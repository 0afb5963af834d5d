"""One client's WebRTC connection: what outlives its peer connections."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import anyio

from offhook.errors import SessionEndedError
from offhook.ids import new_connection_id
from offhook.protocol.control import IceCandidate, Step
from offhook.protocol.endings import EndReason
from offhook.transports.webrtc import messages
from offhook.transports.webrtc.audio_in import AudioIn
from offhook.transports.webrtc.audio_out import AudioOut
from offhook.transports.webrtc.engine import AudioChunk, Engine, EngineListener
from offhook.transports.webrtc.events import Events, Handler
from offhook.transports.webrtc.liveness import Liveness
from offhook.transports.webrtc.settings import WebRTCSettings

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S: Final = 2.0
LAG_S: Final = 0.2
CATCH_UP_S: Final = 0.5
WATCH_INTERVAL_S: Final = 1.0

EngineFactory = Callable[[WebRTCSettings, EngineListener], Engine]


class Answer(NamedTuple):
    """The answer to an offer, and the name of the peer connection that gave it."""

    sdp: str
    pc_id: str


class ConnectionObserver(Protocol):
    """Hears of each step of a connection, once."""

    def progress(self, step: Step) -> None:
        """A step was reached now."""
        ...


def _aiortc(settings: WebRTCSettings, listener: EngineListener) -> Engine:
    from offhook.transports.webrtc.aiortc_engine import AiortcEngine  # noqa: PLC0415 -- heavy

    return AiortcEngine(settings, listener)


class SmallWebRTCConnection:
    """One client's connection; survives `restart_pc`, which swaps the peer connection below it.

    The worker makes it, starts `run` and hands in the offers; the bot's transport takes the audio
    and the messages. Events, for `event_handler`: "connected" once, when a client is there and the
    bot listens; "disconnected" and then "closed" when it is over; "app-message" for each message.

    Args:
        settings: Servers, ports and times.
        observer: Hears of each step.
        engine: Makes the peer connections.
    """

    def __init__(
        self,
        *,
        settings: WebRTCSettings,
        observer: ConnectionObserver | None = None,
        engine: EngineFactory = _aiortc,
    ) -> None:
        self.pc_id = ""
        self._settings = settings
        self._observer = observer
        self._new_engine = engine
        self._engine: Engine | None = None
        self._negotiating = anyio.Lock()
        self._audio_in = AudioIn(kept_s=settings.early_audio_s)
        self._audio_out = AudioOut(limit_s=settings.audio_out_s)
        self._audio_out.on_run(self._audio_run_changed)
        self._liveness: Liveness | None = None
        self._steps: set[Step] = set()
        self._events = Events(self, early_messages=settings.early_messages)
        self._outbox: deque[str] = deque()
        self._is_connected = False
        self._is_listening = False
        self._is_announced = False
        self._will_have_channel = False
        self._is_channel_open = False
        self._channel_opening = anyio.Event()
        self._is_restarting = False
        self._end_reason: EndReason | None = None
        self._ended = anyio.Event()
        self._closing: anyio.Event | None = None

    # Host side

    async def answer(self, sdp: str, *, restart_pc: bool = False) -> Answer:
        """Answer an offer: the first one, another on the same peer connection, or on a new one.

        Raises:
            BadOfferError: The offer cannot be answered; what was there before goes on.
            SessionEndedError: The connection is over.
            UdpPortsExhaustedError: No port is free in the range.
        """
        async with self._negotiating:
            self._check_not_over()
            if self._engine is not None and not restart_pc:
                text = await self._engine.answer(sdp)
                return Answer(text, self.pc_id)
            return await self._answer_anew(sdp)

    async def _answer_anew(self, sdp: str) -> Answer:
        engine = self._new_engine(self._settings, self._listener())
        self._is_restarting = self._engine is not None
        try:
            text = await engine.answer(sdp)
            self._check_not_over()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await engine.aclose()
            raise
        finally:
            self._is_restarting = False
        now = asyncio.get_running_loop().time()
        if self._liveness is None:
            self._liveness = Liveness(
                connect_timeout_s=self._settings.connect_timeout_s,
                lost_after_s=self._settings.client_lost_after_s,
                now=now,
            )
        old, self._engine = self._engine, engine
        self.pc_id = new_connection_id()
        self._will_have_channel = "\nm=application " in sdp
        self._audio_in.attach(engine)
        if old is not None:
            self._is_connected = self._is_channel_open = False
            self._liveness.connecting(now=now)
            self._audio_out.detach()
            self._progress(Step.PEER_CONNECTION_RESTARTED)
            await old.aclose()
        return Answer(text, self.pc_id)

    def _check_not_over(self) -> None:
        if self._end_reason is not None or self._closing is not None:
            raise SessionEndedError("the connection is over")

    async def add_ice_candidates(self, candidates: Sequence[IceCandidate]) -> None:
        """Take more of the client's candidates; those of no use, or too late, are ignored."""
        for candidate in candidates:
            if self._engine is not None and self._end_reason is None:
                await self._engine.add_ice_candidate(candidate)

    async def run(self) -> None:
        """Own the connection until it is over; the worker starts this before `answer`.

        Cancelled, it closes the peer connection without a word.
        """
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch)
                await self._events.run(self._ended)
                group.cancel_scope.cancel()
        finally:
            self._end(EndReason.BOT_FINISHED)
            with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                await self._close_engine()

    async def closed(self) -> EndReason:
        """Wait for the end and say why it came."""
        await self._ended.wait()
        return self._end_reason or EndReason.BOT_FINISHED

    async def aclose(self, *, error: str | None = None) -> None:
        """Tell the client, in words if there are some, and close. Bounded; safe to call twice."""
        if self._closing is not None:
            await self._closing.wait()
            return
        self._closing = anyio.Event()
        try:
            await self._say_last_words(error)
        finally:
            self._end(EndReason.BOT_FINISHED)
            with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                await self._close_engine()
            self._closing.set()

    async def _say_last_words(self, error: str | None) -> None:
        if self._will_have_channel and not self._is_channel_open and self._end_reason is None:
            # The client is about to connect: better it hears why than that it gets no answer.
            with anyio.move_on_after(self._settings.last_words_timeout_s):
                await self._channel_opening.wait()
        engine = self._engine
        if engine is None or not self._is_channel_open or self._end_reason is not None:
            return
        if error is not None:
            engine.send_text(messages.write(messages.fatal_error(error)))
        engine.send_text(messages.write(messages.peer_left()))
        with anyio.move_on_after(self._settings.drain_timeout_s):
            await engine.drain()

    async def _close_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.aclose()

    # Bot side

    def event_handler(self, name: str) -> Callable[[Handler], Handler]:
        """Have a coroutine function called with the connection (and the message) at each event.

        Raises:
            UsageError: There is no such event.
        """
        return self._events.handler(name)

    async def connect(self) -> None:
        """Say that the bot listens: "connected" comes now or later, then all that was kept."""
        self._is_listening = True
        self._audio_in.release()
        self._announce()

    def is_connected(self) -> bool:
        """Whether media and messages flow right now."""
        return self._is_connected and self._end_reason is None

    def open_audio_in(self, *, sample_rate_hz: int, channels: int = 1) -> None:
        """Say at which rate `receive_audio` gives audio; what came before is kept, bounded."""
        self._audio_in.open(sample_rate_hz=sample_rate_hz, channels=channels)

    async def receive_audio(self) -> AudioChunk:
        """Wait for the next 20 ms of the client.

        Raises:
            EndOfStream: The connection is over.
        """
        return await self._audio_in.read()

    def open_audio_out(self, *, sample_rate_hz: int, channels: int = 1) -> None:
        """Say which format `send_audio` is given."""
        self._audio_out.open(sample_rate_hz=sample_rate_hz, channels=channels)

    async def send_audio(self, pcm: bytes) -> None:
        """Queue audio of any length; waits while enough is queued or nobody is there to hear it.

        After the end of the connection it is dropped.
        """
        await self._audio_out.write(pcm)

    def flush_audio(self) -> None:
        """Forget what was given and has not left."""
        self._audio_out.flush()

    async def audio_sent(self) -> None:
        """Wait until all that was given has left, or was flushed."""
        await self._audio_out.sent()

    def on_audio_out(self, callback: Callable[[bool], None]) -> None:
        """Hear when the first audio of a run really leaves (true) and when it has ended (false)."""
        self._audio_out.on_run(callback)

    def send_app_message(self, message: Mapping[str, object]) -> None:
        """Send a message as JSON; kept, bounded, until the data channel opens."""
        if self._end_reason is not None:
            return
        if messages.is_rtvi(message, "bot-ready"):
            self._progress(Step.BOT_READY)
        text = messages.write(message)
        if self._engine is not None and self._is_channel_open:
            self._engine.send_text(text)
        elif len(self._outbox) < self._settings.early_messages:
            self._outbox.append(text)
        else:
            log.warning("message dropped", extra={"kept": len(self._outbox)})

    # What the engine reports

    def _listener(self) -> EngineListener:
        return EngineListener(
            connected=self._engine_connected,
            disconnected=self._peer_left,
            progress=self._progress,
            heard=self._heard,
            audio_received=self._audio_in.push,
            channel_opened=self._channel_opened,
            channel_closed=self._peer_left,
            message_received=self._message_received,
        )

    def _peer_left(self) -> None:
        self._is_channel_open = False
        if not self._is_restarting:  # else it only leaves the peer connection that is replaced
            self._end(EndReason.CLIENT_LEFT)

    def _progress(self, step: Step) -> None:
        if step in self._steps and step is not Step.PEER_CONNECTION_RESTARTED:
            return
        self._steps.add(step)
        if self._observer is not None:
            self._observer.progress(step)

    def _engine_connected(self) -> None:
        self._is_connected = True
        if self._liveness is not None:
            self._liveness.connected(now=asyncio.get_running_loop().time())
        if self._engine is not None:
            self._audio_out.attach(self._engine)
        self._announce()

    def _heard(self) -> None:
        if self._liveness is not None:
            self._liveness.heard(now=asyncio.get_running_loop().time())

    def _channel_opened(self) -> None:
        self._is_channel_open = True
        self._channel_opening.set()
        while self._outbox and self._engine is not None:
            self._engine.send_text(self._outbox.popleft())

    def _message_received(self, text: str) -> None:
        match messages.read(text):
            case messages.AppMessage(message):
                if messages.is_rtvi(message, "client-ready"):
                    self._progress(Step.CLIENT_READY)
                self._events.take(message)
            case messages.TrackStatus(index, is_enabled):
                log.debug("track status", extra={"receiver": index, "enabled": is_enabled})
            case messages.Ping():
                pass
            case messages.Ignored(problem):
                log.info("message ignored", extra={"problem": problem})

    def _audio_run_changed(self, is_talking: bool) -> None:  # noqa: FBT001 -- the callback's shape
        if is_talking:
            self._progress(Step.FIRST_AUDIO_OUT)

    # Events, tasks and the end

    def _announce(self) -> None:
        if self._is_connected and self._is_listening and not self._is_announced:
            self._is_announced = True
            self._events.emit("connected")
            self._events.release()

    async def _watch(self) -> None:
        """End the connection when the client never came or has vanished."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            if self._liveness is not None and (reason := self._liveness.verdict(now=now)):
                self._end(reason)
                return
            until = now + WATCH_INTERVAL_S
            if self._liveness is not None:
                deadline = self._liveness.deadline
                until = deadline if self._is_connected else min(until, deadline)
            await anyio.sleep(until - now)
            if loop.time() - until > LAG_S:
                # We were held up ourselves: what the client sent then is still to be read.
                await anyio.sleep(CATCH_UP_S)

    def _end(self, reason: EndReason) -> None:
        if self._end_reason is not None:
            return
        self._end_reason = reason
        self._is_connected = False
        self._audio_in.close()
        self._audio_out.close()
        if self._is_announced:
            self._events.emit("disconnected")
        self._events.emit("closed")
        self._channel_opening.set()  # it never will; nobody needs to wait for it
        self._ended.set()

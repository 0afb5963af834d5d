"""Where media enters and leaves a pipeline, whatever carries it."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import anyio

from offhook.kit.events import Events
from offhook.kit.frames import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    Cancel,
    End,
    Frame,
    FrameDirection,
    InputAudio,
    Interruption,
    OutputAudio,
    OutputMessage,
    Start,
)
from offhook.kit.processor import FrameProcessor
from offhook.kit.queue import BoundedQueue
from offhook.kit.resample import Resampler
from offhook.kit.turns import Turns, VADTurns
from offhook.kit.vad import VADAnalyzer

log = logging.getLogger(__name__)

QUEUE_LIMIT_S: Final = 120.0
PIECE_S: Final = 0.1
PLAYED_TIMEOUT_S: Final = 10.0

Deliver = Callable[[Frame], Awaitable[None]]


class Transport(Protocol):
    """Moves media between one client and one pipeline. Four methods make a transport."""

    async def receive(self, deliver: Deliver) -> None:
        """Deliver what arrives until the client has gone, then return.

        Delivered are `InputAudio`, `InputMessage`, `BotStartedSpeaking` when the first audio of an
        utterance has really left, `BotStoppedSpeaking` when the last has. Audio does not wait for
        messages, nor messages for audio: that is why this is no single stream.
        """
        ...

    async def send(self, frame: Frame) -> None:
        """Send `OutputAudio` or `OutputMessage`; waits while too much audio is on its way.

        `End` sends nothing: it returns when all audio has been played.
        """
        ...

    async def flush(self) -> None:
        """Forget what was sent but not yet played."""
        ...

    async def aclose(self) -> None:
        """Take no part in the connection any more. Safe to call twice."""
        ...


@dataclass(frozen=True, kw_only=True)
class TransportParams:
    """What a bot wants of its transport.

    Attributes:
        audio_in_enabled: The bot listens.
        audio_in_sample_rate: The rate at which it does, whatever the network uses.
        audio_in_channels: 1 or 2.
        audio_out_enabled: The bot speaks.
        audio_out_sample_rate: The rate at which it is sent; audio of other rates is converted.
        audio_out_channels: 1 or 2.
        vad_analyzer: Finds out when the user speaks.
        turns: Makes turns and interruptions of that; `VADTurns` if not given.
        client_gone_timeout_s: How long the bot may go on once its client has gone.
    """

    audio_in_enabled: bool = False
    audio_in_sample_rate: int = 16000
    audio_in_channels: int = 1
    audio_out_enabled: bool = False
    audio_out_sample_rate: int = 24000
    audio_out_channels: int = 1
    vad_analyzer: VADAnalyzer | None = None
    turns: Turns | None = None
    client_gone_timeout_s: float = 2.0


class InputTransport(FrameProcessor):
    """Brings in what the client sends, and says when the user begins and ends to speak."""

    def __init__(self, transport: Transport, params: TransportParams, events: Events) -> None:
        super().__init__(events=events)
        self.params: TransportParams = params
        self._transport = transport
        self._vad = params.vad_analyzer
        self._turns: Turns = params.turns or VADTurns()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass on, and listen once everybody behind is ready."""
        await self.push_frame(frame, direction)
        if isinstance(frame, Start):
            if self.params.turns is None:
                self._turns = VADTurns(allow_interruptions=frame.allow_interruptions)
            self.start_soon(self._receive)

    async def aclose(self) -> None:
        """Leave the connection."""
        await self._transport.aclose()

    async def _receive(self) -> None:
        await self._transport.receive(self._deliver)
        log.info("client gone")
        await anyio.sleep(self.params.client_gone_timeout_s)
        await self.runtime.cancel("client gone")

    async def _deliver(self, frame: Frame) -> None:
        match frame:
            case InputAudio(pcm, sample_rate_hz, channels):
                await self.push_frame(frame)
                if self._vad is None:
                    return
                for event in self._vad.analyze(
                    pcm, sample_rate_hz=sample_rate_hz, channels=channels
                ):
                    await self._broadcast_all(self._turns.handle(event))
            case BotStartedSpeaking() | BotStoppedSpeaking():
                await self.broadcast(frame)
                await self._broadcast_all(self._turns.handle(frame))
            case _:
                await self.broadcast(frame)

    async def _broadcast_all(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            await self.broadcast(frame)


class OutputTransport(FrameProcessor):
    """Takes out what the bot says. Audio waits in line here, so that pushing it takes no time.

    An `Interruption` empties the line and what the transport has not yet played. More than
    two minutes of audio are not queued: then pushing waits.
    """

    def __init__(self, transport: Transport, params: TransportParams, events: Events) -> None:
        super().__init__(events=events)
        self.params: TransportParams = params
        self._transport = transport
        self._queue = BoundedQueue[Frame](QUEUE_LIMIT_S, _duration_s)
        self._sending: anyio.CancelScope | None = None
        self._resampler: Resampler | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Send what is for the client, pass on the rest."""
        match frame:
            case OutputAudio():
                if self.params.audio_out_enabled and frame.pcm:
                    await self._queue.put(frame)
            case OutputMessage():
                await self._transport.send(frame)
            case End():
                await self._queue.put(frame)  # passes on when everything before it has been played
            case Interruption() | Cancel():
                await self._forget()
                await self.push_frame(frame, direction)
            case Start():
                self.start_soon(self._send_queued)
                await self.push_frame(frame, direction)
            case BotStoppedSpeaking():
                self._resampler = None  # what it holds back must not begin the next utterance
                await self.push_frame(frame, direction)
            case _:
                await self.push_frame(frame, direction)

    async def aclose(self) -> None:
        """Leave the connection."""
        await self._transport.aclose()

    async def _send_queued(self) -> None:
        while True:
            match frame := await self._queue.get():
                case OutputAudio():
                    await self._send_audio(frame)
                case _:  # the end: only these two are queued
                    with anyio.move_on_after(PLAYED_TIMEOUT_S):
                        if self._resampler is not None:
                            await self._transport.send(self._outgoing(self._resampler.flush()))
                        await self._transport.send(frame)
                    await self.push_frame(frame)

    async def _send_audio(self, frame: OutputAudio) -> None:
        with anyio.CancelScope() as scope:
            self._sending = scope
            for piece in _pieces(frame):
                if scope.cancel_called:
                    break
                await self._transport.send(self._converted(piece))
        if scope.cancel_called:
            # A cancellation reaches a task that was about to go on only after it went on: the
            # piece in hand may have been queued behind the flush.
            await self._transport.flush()

    async def _forget(self) -> None:
        self._queue.discard(lambda frame: isinstance(frame, OutputAudio))
        if self._sending is not None:
            self._sending.cancel()  # first, or it would hand over a piece that is stale by now
        self._resampler = None
        await self._transport.flush()

    def _converted(self, frame: OutputAudio) -> OutputAudio:
        wanted = (self.params.audio_out_sample_rate, self.params.audio_out_channels)
        if (frame.sample_rate_hz, frame.channels) == wanted:
            return frame
        resampler = self._resampler
        if resampler is None or (resampler.from_hz, resampler.channels) != (
            frame.sample_rate_hz,
            frame.channels,
        ):
            resampler = Resampler(frame.sample_rate_hz, wanted[0], frame.channels, wanted[1])
            self._resampler = resampler
        return self._outgoing(resampler.resample(frame.pcm))

    def _outgoing(self, pcm: bytes) -> OutputAudio:
        return OutputAudio(pcm, self.params.audio_out_sample_rate, self.params.audio_out_channels)


def _duration_s(frame: Frame) -> float:
    return frame.duration_s if isinstance(frame, OutputAudio) else 0.0


def _pieces(frame: OutputAudio) -> Iterator[OutputAudio]:
    """Cut long audio, so that an interruption finds it in the queue rather than on its way."""
    size = int(PIECE_S * frame.sample_rate_hz) * 2 * frame.channels
    for start in range(0, len(frame.pcm), size):
        yield OutputAudio(frame.pcm[start : start + size], frame.sample_rate_hz, frame.channels)

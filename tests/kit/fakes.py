"""Stand-ins with behaviour: a transport without a network, a connection without a peer."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio

from offhook.kit import (
    End,
    Frame,
    FrameDirection,
    FrameProcessor,
    InputAudio,
    OutputAudio,
    OutputMessage,
    Pipeline,
    PipelineTask,
)
from offhook.transports.webrtc import AudioChunk


class StumbleError(Exception):
    """What goes wrong in tests."""


class Signalled:
    """A value that a test waits for instead of sleeping."""

    def __init__(self) -> None:
        self._changed = anyio.Event()

    def change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 5.0) -> None:
        with anyio.fail_after(timeout_s):
            while not condition():
                await self._changed.wait()


class Recorder(FrameProcessor):
    """Passes on everything, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self.upstream: list[Frame] = []
        self.changed = Signalled()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        down = direction is FrameDirection.DOWNSTREAM
        (self.frames if down else self.upstream).append(frame)
        self.changed.change()
        await self.push_frame(frame, direction)

    def of(self, *kinds: type) -> list:
        return [frame for frame in self.frames if isinstance(frame, kinds)]

    async def until(self, kind: type, *, count: int = 1) -> None:
        await self.changed.until(lambda: len(self.of(kind)) >= count)


class Echo(FrameProcessor):
    """Says what it hears."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case InputAudio(pcm, sample_rate_hz, channels):
                await self.push_frame(OutputAudio(pcm, sample_rate_hz, channels))
            case _:
                await self.push_frame(frame, direction)


class FakeTransport:
    """A transport whose network is the test: `arrive` brings in, `sent` shows what went out.

    Audio is "played" when the test says so by `play`, at once if `plays_at_once`.
    """

    def __init__(self, *, plays_at_once: bool = True) -> None:
        self.sent: list[Frame] = []
        self.changed = Signalled()
        self.flushed = self.closed = 0
        self.queued: list[OutputAudio] = []
        self._plays_at_once = plays_at_once
        self._arrived_in, self._arrived = anyio.create_memory_object_stream[Frame](10_000)
        self.is_receiving = False

    async def receive(self, deliver) -> None:
        self.is_receiving = True
        self.changed.change()
        async for frame in self._arrived:
            await deliver(frame)

    async def send(self, frame: Frame) -> None:
        if isinstance(frame, End):
            await self.changed.until(lambda: not self.queued, timeout_s=60)
            return
        if isinstance(frame, OutputAudio) and not self._plays_at_once:
            self.queued.append(frame)
            self.changed.change()
            await self.changed.until(lambda: frame not in self.queued, timeout_s=60)
            return
        self.sent.append(frame)
        self.changed.change()

    def play(self, count: int = 1) -> None:
        played, self.queued = self.queued[:count], self.queued[count:]
        self.sent.extend(played)
        self.changed.change()

    async def flush(self) -> None:
        self.flushed += 1
        self.queued.clear()
        self.changed.change()

    async def aclose(self) -> None:
        self.closed += 1
        self.changed.change()
        self._arrived.close()
        self._arrived_in.close()

    def arrive(self, *frames: Frame) -> None:
        for frame in frames:
            self._arrived_in.send_nowait(frame)

    def leave(self) -> None:
        self._arrived_in.close()

    @property
    def audio(self) -> bytes:
        return b"".join(frame.pcm for frame in self.sent if isinstance(frame, OutputAudio))

    @property
    def messages(self) -> list[Mapping[str, object]]:
        return [frame.data for frame in self.sent if isinstance(frame, OutputMessage)]

    @property
    def message_types(self) -> list[object]:
        return [message.get("type") for message in self.messages]


class FakeConnection:
    """The bot's side of a WebRTC connection: paced by the test, with a client that can vanish."""

    def __init__(self, *, is_connected: bool = True, limit_bytes: int = 48_000) -> None:
        self.pc_id = "pc-1"
        self.handlers: dict[str, list] = {"connected": [], "closed": [], "app-message": []}
        self.kept: list[Mapping[str, object]] = []
        self.messages: list[Mapping[str, object]] = []
        self.given = bytearray()
        self.played = bytearray()
        self.queued = bytearray()
        self.changed = Signalled()
        self.formats: dict[str, tuple[int, int]] = {}
        self._is_connected, self._is_listening = is_connected, False
        self._limit_bytes = limit_bytes
        self._audio_in, self._audio = anyio.create_memory_object_stream[AudioChunk](10_000)
        self._callbacks: list[Callable[[bool], None]] = []
        self._is_over = False

    # as the bot sees it

    def event_handler(self, name: str):
        return self.handlers[name].append

    async def connect(self) -> None:
        self._is_listening = True
        self.changed.change()
        if self._is_connected:
            await self._announce()

    def is_connected(self) -> bool:
        return self._is_connected and self._is_listening

    def open_audio_in(self, *, sample_rate_hz: int, channels: int = 1) -> None:
        self.formats["in"] = (sample_rate_hz, channels)
        self.changed.change()

    def open_audio_out(self, *, sample_rate_hz: int, channels: int = 1) -> None:
        self.formats["out"] = (sample_rate_hz, channels)

    async def receive_audio(self) -> AudioChunk:
        try:
            return await self._audio.receive()
        finally:
            if self._is_over:
                self._audio.close()

    async def send_audio(self, pcm: bytes) -> None:
        await self.changed.until(
            lambda: self._is_over or len(self.queued) < self._limit_bytes, timeout_s=60
        )
        if not self._is_over:
            self.given += pcm
            self.queued += pcm
            self.changed.change()

    def flush_audio(self) -> None:
        self.queued.clear()
        self.changed.change()

    async def audio_sent(self) -> None:
        await self.changed.until(lambda: not self.queued, timeout_s=60)

    def on_audio_out(self, callback: Callable[[bool], None]) -> None:
        self._callbacks.append(callback)

    def send_app_message(self, message: Mapping[str, object]) -> None:
        self.messages.append(message)
        self.changed.change()

    # as the test drives it

    async def client_comes(self) -> None:
        self._is_connected = True
        if self._is_listening:
            await self._announce()

    async def client_says(self, message: Mapping[str, object]) -> None:
        if not self.is_connected():
            self.kept.append(message)
            return
        for handler in self.handlers["app-message"]:
            await handler(self, message)

    def client_speaks(self, pcm: bytes, *, is_concealed: bool = False) -> None:
        rate_hz, channels = self.formats["in"]
        self._audio_in.send_nowait(AudioChunk(pcm, rate_hz, channels, is_concealed))

    async def client_leaves(self) -> None:
        self._is_over = True
        self._audio_in.close()
        self.changed.change()
        for handler in self.handlers["closed"]:
            await handler(self)

    def play(self, size: int | None = None) -> None:
        """Let audio leave, and say when a run of it begins and ends."""
        size = len(self.queued) if size is None else size
        if size and not self.played:
            self._tell(True)
        self.played += self.queued[:size]
        del self.queued[:size]
        if not self.queued:
            self._tell(False)
        self.changed.change()

    def close(self) -> None:
        self._audio_in.close()
        self._audio.close()

    def _tell(self, is_talking: bool) -> None:
        for callback in self._callbacks:
            callback(is_talking)

    async def _announce(self) -> None:
        for handler in self.handlers["connected"]:
            await handler(self)
        kept, self.kept = self.kept, []
        for message in kept:
            await self.client_says(message)


@asynccontextmanager
async def running(*processors: FrameProcessor, **options) -> AsyncIterator[PipelineTask]:
    """Run a pipeline of these processors; cancel it at the end of the block."""
    task = PipelineTask(Pipeline(processors), **options)
    started = anyio.Event()

    @task.event_handler("on_pipeline_started")
    async def on_pipeline_started(task, frame):
        started.set()

    async with anyio.create_task_group() as group:
        group.start_soon(task.run)
        with anyio.fail_after(5):
            await started.wait()
        yield task
        await task.cancel()

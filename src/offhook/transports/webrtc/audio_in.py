"""The client's voice on its way in: kept until somebody takes it, at the rate that was asked."""

from collections import deque

import anyio

from offhook.transports.webrtc.audio_out import checked_channels, nearest_rate
from offhook.transports.webrtc.engine import AudioChunk, Engine
from offhook.transports.webrtc.pcm import Rechunker
from offhook.transports.webrtc.rtp import FRAMES_PER_S


class AudioIn:
    """A bounded queue of 20 ms pieces; when it is full the oldest goes. For one reader."""

    def __init__(self, *, kept_s: float) -> None:
        self._queue: deque[AudioChunk] = deque(maxlen=max(int(kept_s * FRAMES_PER_S), 1))
        self._rechunker: Rechunker | None = None
        self._wanted = (0, 0)
        self._engine: Engine | None = None
        self._came = anyio.Event()
        self._is_released = False
        self._is_closed = False
        self.dropped = 0

    def open(self, *, sample_rate_hz: int, channels: int) -> None:
        """Say at which rate `read` gives audio."""
        self._wanted = (sample_rate_hz, checked_channels(channels))
        rate = nearest_rate(sample_rate_hz)
        self._rechunker = Rechunker.between(rate, sample_rate_hz, channels=channels)
        self._queue.clear()
        if self._engine is not None:
            self.attach(self._engine)

    def attach(self, engine: Engine) -> None:
        """Receive from this engine, which keeps its audio until the rate is known."""
        self._engine = engine
        rate, channels = self._wanted
        if rate:
            engine.open_audio_in(sample_rate_hz=nearest_rate(rate), channels=channels)

    def release(self) -> None:
        """Let `read` give what was kept."""
        self._is_released = True
        self._came.set()

    def push(self, chunk: AudioChunk) -> None:
        """Queue a piece that the engine decoded."""
        if self._rechunker is None:
            self._append(chunk)
            return
        rate, channels = self._wanted
        for pcm in self._rechunker.push(chunk.pcm):
            self._append(AudioChunk(pcm, rate, channels, chunk.is_concealed))

    def close(self) -> None:
        """What is queued can still be read, then the stream ends."""
        self._is_closed = True
        self._engine = None
        self._came.set()

    async def read(self) -> AudioChunk:
        """Wait for the next piece.

        Raises:
            EndOfStream: There will be no more.
        """
        while not (self._queue and self._is_released):
            if self._is_closed:
                raise anyio.EndOfStream
            self._came = anyio.Event()
            await self._came.wait()
        return self._queue.popleft()

    def _append(self, chunk: AudioChunk) -> None:
        if len(self._queue) == self._queue.maxlen:
            self.dropped += 1
        self._queue.append(chunk)
        if not self._came.is_set():
            self._came.set()

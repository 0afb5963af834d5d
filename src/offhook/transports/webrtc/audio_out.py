"""The bot's voice on its way out: queue, backpressure and the timer that keeps the pace."""

import asyncio
import logging
from collections.abc import Callable

import anyio

from offhook.errors import UsageError
from offhook.transports.webrtc.engine import Engine
from offhook.transports.webrtc.opus import RATES_HZ
from offhook.transports.webrtc.pacing import Frame, Outgoing, Pacer, RunEnded, RunStarted
from offhook.transports.webrtc.pcm import Rechunker
from offhook.transports.webrtc.rtp import FRAMES_PER_S

log = logging.getLogger(__name__)


def nearest_rate(sample_rate_hz: int) -> int:
    """Return the lowest of Opus's rates that loses nothing of this one."""
    if not 4_000 <= sample_rate_hz <= 192_000:  # noqa: PLR2004 -- what audio hardware knows
        raise UsageError(f"{sample_rate_hz} Hz is no usable sample rate")
    return next((rate for rate in RATES_HZ if rate >= sample_rate_hz), RATES_HZ[-1])


def checked_channels(channels: int) -> int:
    """Return the number of channels, if it is one that audio has."""
    if channels not in {1, 2}:
        raise UsageError(f"{channels} channels: mono is 1, stereo is 2")
    return channels


class AudioOut:
    """Survives the change of the engine below it: what is queued waits for the next one."""

    def __init__(self, *, limit_s: float) -> None:
        self._limit_s = limit_s
        self._pacer: Pacer | None = None
        self._rechunker: Rechunker | None = None
        self._format = (0, 0)
        self._engine: Engine | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._callbacks: list[Callable[[bool], None]] = []
        self._moved = anyio.Event()
        self._is_closed = False
        self._flushes = 0

    def on_run(self, callback: Callable[[bool], None]) -> None:
        """Tell when a run of audio begins and ends to leave."""
        self._callbacks.append(callback)

    def open(self, *, sample_rate_hz: int, channels: int) -> None:
        """Say what `write` will be given; until then nothing but the first silence leaves."""
        rate = nearest_rate(sample_rate_hz)
        self._format = (rate, checked_channels(channels))
        self._rechunker = Rechunker.between(sample_rate_hz, rate, channels=channels)
        self._pacer = Pacer(frame_bytes=rate // FRAMES_PER_S * 2 * channels, full_s=self._limit_s)
        if self._engine is not None:
            self.attach(self._engine)

    def attach(self, engine: Engine) -> None:
        """Send over this engine, which is connected."""
        self._engine = engine
        if self._pacer is None:
            self.open(sample_rate_hz=RATES_HZ[-1], channels=1)
            return
        rate, channels = self._format
        engine.open_audio_out(sample_rate_hz=rate, channels=channels)
        self._pacer.open(now=asyncio.get_running_loop().time())
        self._poll()

    def detach(self) -> None:
        """Keep what is queued until another engine is attached."""
        self._engine = None
        if self._pacer is not None:
            self._act(self._pacer.close())
        self._rearm(None)

    async def write(self, pcm: bytes) -> None:
        """Queue audio; waits while enough is queued. What is flushed meanwhile is dropped."""
        if self._pacer is None:
            raise UsageError("open_audio_out() comes before send_audio()")
        flushes = self._flushes
        while self._pacer.queued_s >= self._limit_s and not self._is_closed:
            await self._moved.wait()
        if self._is_closed or flushes != self._flushes:
            return  # whoever waited for room when the queue was flushed meant to be before that
        self._pacer.push(pcm if self._rechunker is None else self._rechunker.convert(pcm))
        self._poll()

    def flush(self) -> None:
        """Forget what was given and has not left."""
        self._flushes += 1
        if self._pacer is not None:
            self._pacer.flush()
            self._poll()
            self._wake()

    async def sent(self) -> None:
        """Wait until all that was queued has left, or was flushed."""
        while self._pacer is not None and self._pacer.queued_s > 0 and not self._is_closed:
            await self._moved.wait()

    def close(self) -> None:
        """Nothing is sent any more; nobody waits any more."""
        self._is_closed = True
        self.detach()
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    def _poll(self) -> None:
        if self._pacer is None or self._engine is None:
            return
        outgoing = self._pacer.poll(now=asyncio.get_running_loop().time())
        if outgoing:
            self._act(outgoing)
            self._wake()
        self._rearm(self._pacer.deadline)

    def _act(self, outgoing: list[Outgoing]) -> None:
        for item in outgoing:
            match item:
                case Frame(pcm, ticks, is_first):
                    if self._engine is not None:
                        self._engine.send_audio(pcm, ticks=ticks, is_first=is_first)
                case RunStarted():
                    self._tell(is_talking=True)
                case RunEnded():
                    self._tell(is_talking=False)

    def _tell(self, *, is_talking: bool) -> None:
        for callback in self._callbacks:
            try:
                callback(is_talking)
            except Exception:
                log.exception("audio callback failed")

    def _rearm(self, deadline: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._poll)

"""What the suite asks of a transport: one client that a test plays, and a bot to answer it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import anyio
import numpy as np

from offhook.kit import FrameProcessor, Pipeline, PipelineRunner, PipelineTask, TransportParams

CALLER_RATE_HZ = 16_000
"""The rate of what the caller says, as 16-bit mono PCM."""
HEARD_RATE_HZ = 24_000
"""The rate of what the caller hears, likewise."""
FRAME_BYTES = HEARD_RATE_HZ // 50 * 2
LOUD = 1000


class Line(Protocol):
    """A client that has called; nobody has picked up yet. It hangs up at the end of its block."""

    messages: list[Mapping[str, object]]
    """What the client got, in order."""

    def transport(self, params: TransportParams) -> Any:
        """Make the bot's side: `input()`, `output()` and `event_handler`."""
        ...

    async def talk(self, pcm: bytes) -> None:
        """Say this at its pace."""
        ...

    async def send(self, message: Mapping[str, object]) -> None:
        """Send a message, an object with a `type`."""
        ...

    def heard(self) -> bytes:
        """Return all that the client heard so far."""
        ...

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait, bounded, for what a message or some audio brings about."""
        ...

    async def hang_up(self) -> None:
        """Leave as a client leaves."""
        ...

    async def host_knows(self) -> None:
        """Wait until the bot's side has noticed that the client has gone."""
        ...

    async def host_closes(self) -> None:
        """Do what the worker does when the bot has returned."""
        ...

    def is_over(self) -> bool:
        """Whether the client knows that the bot has gone."""
        ...


OpenLine = Callable[[], AbstractAsyncContextManager[Line]]
"""A transport joins the suite by one of these."""


def wanted(**params: Any) -> TransportParams:
    return TransportParams(**{"audio_in_enabled": True, "audio_out_enabled": True, **params})


@asynccontextmanager
async def talking(transport: Any, *processors: FrameProcessor) -> AsyncIterator[PipelineTask]:
    """Run a bot of these processors over a transport; cancel it at the end of the block."""
    task = PipelineTask(Pipeline([transport.input(), *processors, transport.output()]))
    async with anyio.create_task_group() as group:
        group.start_soon(PipelineRunner().run, task)
        try:
            yield task
        finally:
            await task.cancel()


def tone(hz: float, *, seconds: float, rate_hz: int = HEARD_RATE_HZ) -> bytes:
    wave = np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)
    return (wave * 8000).astype("<i2").tobytes()


def loudest_hz(pcm: bytes, *, rate_hz: int = HEARD_RATE_HZ) -> float:
    samples = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate_hz / len(samples))


def sound_of(pcm: bytes, *, rate_hz: int = HEARD_RATE_HZ) -> bytes:
    """Leave out the frames that are silent."""
    size = rate_hz // 50 * 2
    frames = (pcm[at : at + size] for at in range(0, len(pcm), size))
    return b"".join(frame for frame in frames if frame and peak(frame) > LOUD)


def peak(pcm: bytes) -> int:
    return int(np.abs(np.frombuffer(pcm, "<i2").astype(int)).max())


def seconds_of(pcm: bytes, *, rate_hz: int = HEARD_RATE_HZ) -> float:
    return len(pcm) / 2 / rate_hz

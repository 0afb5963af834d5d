from contextlib import asynccontextmanager

import anyio
import numpy as np
from tests.kit.fakes import Echo, FakeConnection

from offhook.kit import (
    Pipeline,
    PipelineRunner,
    PipelineTask,
    TransportParams,
)
from offhook.transports.webrtc.transport import SmallWebRTCTransport


def tone(hz: float, *, rate_hz: int, seconds: float) -> bytes:
    wave = np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)
    return (wave * 8000).astype("<i2").tobytes()


def loudest_hz(pcm: bytes, *, rate_hz: int) -> float:
    samples = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate_hz / len(samples))


BOTH_WAYS = {"audio_in_enabled": True, "audio_out_enabled": True}


@asynccontextmanager
async def talking(connection, *processors, on_transport=lambda transport: None, **params):
    """Run a pipeline of these processors over the connection; yield the transport and the task."""
    transport = SmallWebRTCTransport(
        params=TransportParams(**{**BOTH_WAYS, **params}), webrtc_connection=connection
    )
    on_transport(transport)
    task = PipelineTask(Pipeline([transport.input(), *processors, transport.output()]))
    async with anyio.create_task_group() as group:
        group.start_soon(PipelineRunner().run, task)
        try:
            yield transport, task
        finally:
            await task.cancel()
    connection.close()


async def test_an_echo_bot_gives_back_what_it_hears_at_its_own_rate():
    connection = FakeConnection()
    async with talking(connection, Echo()):
        await connection.changed.until(lambda: "in" in connection.formats)
        spoken = tone(440, rate_hz=16000, seconds=1)
        for start in range(0, len(spoken), 640):
            connection.client_speaks(spoken[start : start + 640])
        await connection.changed.until(lambda: len(connection.queued) >= 47_000)
    assert connection.formats == {"in": (16000, 1), "out": (24000, 1)}

"""The bot's audio, queued and paced."""

import asyncio

import anyio
import pytest

from offhook.errors import UsageError
from offhook.transports.webrtc.audio_out import AudioOut

from .fakes import FakeEngine

SECOND = b"\x01\x02" * 16_000


class Line:
    """An output with an engine below, and what was announced."""

    def __init__(self) -> None:
        self.audio = AudioOut(limit_s=0.2)
        self.engine = FakeEngine()
        self.runs: list[bool] = []
        self.audio.on_run(self.runs.append)
        self.audio.open(sample_rate_hz=16_000, channels=1)

    @property
    def said(self) -> bytes:
        return b"".join(pcm for pcm in self.engine.sent if any(pcm))


@pytest.fixture
async def line():
    line = Line()
    yield line
    line.audio.close()


async def test_audio_leaves_complete_in_order_and_in_its_own_time(line):
    line.audio.attach(line.engine)
    start = asyncio.get_running_loop().time()
    await line.audio.write(SECOND[:9_600])
    await line.audio.sent()
    assert line.said == SECOND[:9_600]
    assert asyncio.get_running_loop().time() - start >= 14 * 0.02
    assert line.engine.audio_out == (16_000, 1)


async def test_a_writer_waits_while_enough_is_queued(line):
    line.audio.attach(line.engine)
    await line.audio.write(SECOND[: 640 * 30])
    with anyio.move_on_after(0.05) as waiting:
        await line.audio.write(SECOND[:640])
    assert waiting.cancelled_caught
    with anyio.fail_after(2):
        await line.audio.write(SECOND[:640])


async def test_without_an_engine_audio_waits_for_one(line):
    await line.audio.write(SECOND[:3_200])
    with anyio.move_on_after(0.05) as waiting:
        await line.audio.sent()
    assert waiting.cancelled_caught
    line.audio.attach(line.engine)
    await line.audio.sent()
    assert line.said == SECOND[:3_200]


async def test_what_an_engine_did_not_send_the_next_one_does(line):
    line.audio.attach(line.engine)
    await line.audio.write(SECOND[: 640 * 10])
    with anyio.move_on_after(0.05):
        await line.audio.sent()
    line.audio.detach()
    second = FakeEngine()
    line.audio.attach(second)
    await line.audio.sent()
    assert line.said + b"".join(pcm for pcm in second.sent if any(pcm)) == SECOND[: 640 * 10]


async def test_flushed_audio_does_not_leave_and_wakes_who_waits(line):
    line.audio.attach(line.engine)
    await line.audio.write(SECOND)
    async with anyio.create_task_group() as group:
        group.start_soon(line.audio.sent)
        group.start_soon(line.audio.write, b"\x03\x04" * 320)
        await anyio.lowlevel.checkpoint()
        line.audio.flush()
    await line.audio.sent()
    assert len(line.said) <= 640 * 3
    assert b"\x03\x04" not in line.said  # it waited for room when the flush came


async def test_audio_after_a_flush_leaves(line):
    line.audio.attach(line.engine)
    await line.audio.write(SECOND)
    line.audio.flush()
    await line.audio.write(b"\x03\x04" * 320)
    await line.audio.sent()
    assert line.said.endswith(b"\x03\x04" * 320)


async def test_the_beginning_and_the_end_of_a_run_are_told(line):
    done = anyio.Event()
    line.audio.on_run(lambda is_talking: is_talking or done.set())
    line.audio.attach(line.engine)
    assert line.runs == []
    await line.audio.write(SECOND[:1_280])
    with anyio.fail_after(2):
        await done.wait()
    assert line.runs == [True, False]


async def test_a_callback_that_fails_does_not_stop_the_audio(line):
    line.audio.on_run(lambda is_talking: 1 / 0)
    line.audio.attach(line.engine)
    await line.audio.write(SECOND[:1_280])
    await line.audio.sent()
    assert line.said == SECOND[:1_280]


async def test_after_the_end_audio_is_dropped_and_nobody_waits(line):
    line.audio.attach(line.engine)
    await line.audio.write(SECOND)
    async with anyio.create_task_group() as group:
        group.start_soon(line.audio.write, SECOND)
        group.start_soon(line.audio.sent)
        await anyio.lowlevel.checkpoint()
        line.audio.close()
    await line.audio.write(SECOND)
    await line.audio.sent()


async def test_a_rate_that_opus_lacks_is_resampled():
    audio, engine = AudioOut(limit_s=1.0), FakeEngine()
    audio.open(sample_rate_hz=22_050, channels=1)
    audio.attach(engine)
    await audio.write(b"\x01\x02" * 2_205)
    await audio.sent()
    assert engine.audio_out == (24_000, 1)
    assert 4 <= sum(any(pcm) for pcm in engine.sent) <= 5
    audio.close()


async def test_an_engine_gets_its_first_silence_even_if_the_bot_never_speaks():
    audio, engine = AudioOut(limit_s=1.0), FakeEngine()
    audio.attach(engine)
    with anyio.fail_after(1):
        while len(engine.sent) < 5:  # noqa: ASYNC110 -- an engine has no event
            await anyio.sleep(0.01)
    assert not any(any(pcm) for pcm in engine.sent)
    audio.close()


async def test_writing_before_opening_is_the_author_s_fault():
    with pytest.raises(UsageError, match="open_audio_out"):
        await AudioOut(limit_s=1.0).write(b"")

"""The client's audio, kept and read."""

import anyio
import pytest

from offhook.errors import UsageError
from offhook.transports.webrtc.audio_in import AudioIn
from offhook.transports.webrtc.engine import AudioChunk

from .fakes import FakeEngine

CHUNK = AudioChunk(bytes(640), 16_000, 1)


def numbered(number: int) -> AudioChunk:
    return AudioChunk(number.to_bytes(2, "little") * 320, 16_000, 1)


async def test_what_came_early_is_read_in_order_after_the_release():
    audio = AudioIn(kept_s=1.0)
    audio.open(sample_rate_hz=16_000, channels=1)
    for number in range(5):
        audio.push(numbered(number))
    with anyio.move_on_after(0.01) as waiting:
        await audio.read()
    assert waiting.cancelled_caught
    audio.release()
    assert [await audio.read() for _ in range(5)] == [numbered(number) for number in range(5)]


async def test_when_nobody_reads_the_oldest_goes():
    audio = AudioIn(kept_s=0.1)
    audio.open(sample_rate_hz=16_000, channels=1)
    audio.release()
    for number in range(8):
        audio.push(numbered(number))
    assert await audio.read() == numbered(3)
    assert audio.dropped == 3


async def test_a_reader_that_waits_is_woken():
    audio = AudioIn(kept_s=1.0)
    audio.open(sample_rate_hz=16_000, channels=1)
    audio.release()
    async with anyio.create_task_group() as group:

        async def push_soon():
            audio.push(CHUNK)

        group.start_soon(push_soon)
        with anyio.fail_after(1):
            assert await audio.read() == CHUNK


async def test_after_the_end_what_is_left_can_be_read_then_the_stream_ends():
    audio = AudioIn(kept_s=1.0)
    audio.open(sample_rate_hz=16_000, channels=1)
    audio.release()
    audio.push(CHUNK)
    audio.close()
    assert await audio.read() == CHUNK
    with pytest.raises(anyio.EndOfStream):
        await audio.read()


async def test_a_rate_that_opus_lacks_is_resampled():
    audio, engine = AudioIn(kept_s=1.0), FakeEngine()
    audio.attach(engine)
    audio.open(sample_rate_hz=22_050, channels=1)
    audio.release()
    assert engine.audio_in == (24_000, 1)
    for _ in range(5):
        audio.push(AudioChunk(bytes(960), 24_000, 1, is_concealed=True))
    chunk = await audio.read()
    assert (len(chunk.pcm), chunk.sample_rate_hz, chunk.is_concealed) == (882, 22_050, True)


def test_another_engine_delivers_the_same_format():
    audio, first, second = AudioIn(kept_s=1.0), FakeEngine(), FakeEngine()
    audio.attach(first)
    assert first.audio_in is None
    audio.open(sample_rate_hz=16_000, channels=2)
    audio.attach(second)
    assert first.audio_in == second.audio_in == (16_000, 2)


@pytest.mark.parametrize(("rate_hz", "channels"), [(0, 1), (16_000, 0), (16_000, 3), (-1, 1)])
def test_an_impossible_format_is_the_author_s_fault(rate_hz, channels):
    with pytest.raises(UsageError):
        AudioIn(kept_s=1.0).open(sample_rate_hz=rate_hz, channels=channels)

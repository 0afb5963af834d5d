import pathlib
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np
import pytest
from tests.kit.fakes import Recorder, running

from offhook.kit import (
    End,
    ErrorFrame,
    Interruption,
    OutputAudio,
    OutputMessage,
    Start,
    Text,
    resample,
)
from offhook.services import espeak
from offhook.services.espeak import EspeakTTS, SynthesisError, VoiceMissingError, synthesize

needs_voice = pytest.mark.skipif(
    not espeak.is_installed(), reason="the demo extra (espeakng-loader) is not installed"
)


def threads_now() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


async def size_of(text: str) -> int:
    pcm, _ = await anyio.to_thread.run_sync(synthesize, text)
    return len(pcm)


def loudness(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2)))


def seconds(frames: list[OutputAudio]) -> float:
    return sum(frame.duration_s for frame in frames)


def spectrum(pcm: bytes) -> np.ndarray:
    """Describe a word by where its energy is: 10 slices of time, 20 bands up to 4 kHz."""
    samples = np.frombuffer(resample(pcm, from_hz=22050, to_hz=8000), "<i2").astype(float)
    slices = np.array_split(samples[np.abs(samples) > 0], 10)
    bands = [
        [band.sum() for band in np.array_split(np.abs(np.fft.rfft(part)), 20)] for part in slices
    ]
    flat = np.log1p(np.array(bands)).ravel()
    return (flat - flat.mean()) / flat.std()


@needs_voice
def test_a_text_becomes_sound_and_leaves_nothing_running():
    threads = threads_now()
    pcm, rate_hz = synthesize("Hello, I am a voice.")
    assert rate_hz == 22050
    assert 1.0 < len(pcm) / (2 * rate_hz) < 3.0
    assert loudness(pcm) > 500
    assert threads_now() == threads


@needs_voice
def test_what_is_heard_depends_on_what_is_said():
    (yes, _), (again, _), (other, _) = map(synthesize, ("sister", "sister", "thunder"))
    assert np.corrcoef(spectrum(yes), spectrum(again))[0, 1] > 0.99
    assert np.corrcoef(spectrum(yes), spectrum(other))[0, 1] < 0.9


@needs_voice
def test_a_faster_voice_needs_less_time_and_a_german_one_speaks_otherwise():
    text = "one two three four five six"
    slow, _ = synthesize(text, words_per_minute=120)
    fast, _ = synthesize(text, words_per_minute=240)
    assert len(fast) < 0.7 * len(slow)
    assert synthesize(text, voice="de")[0] != synthesize(text)[0]


@needs_voice
def test_an_unknown_voice_is_named():
    with pytest.raises(SynthesisError, match="no voice 'xx-none'"):
        synthesize("nuqneH", voice="xx-none")


@needs_voice
def test_synthesis_takes_a_bounded_time():
    with pytest.raises(SynthesisError, match="longer than"):
        synthesize("a long text " * 10_000, timeout_s=0.02)


def test_without_the_extra_the_author_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    for speak in (lambda: synthesize("hello"), EspeakTTS):
        with pytest.raises(VoiceMissingError) as caught:
            speak()
        assert caught.value.hint == "Install the demo extra: pip install 'offhook[demo]'"


def test_our_own_processes_never_load_the_library():
    assert "espeakng_loader" not in sys.modules
    with pathlib.Path("/proc/self/maps").open() as maps:
        assert "espeak" not in maps.read()


# In a pipeline


@needs_voice
async def test_texts_are_spoken_in_order_before_the_end():
    recorder = Recorder()
    async with running(EspeakTTS(), recorder) as task:
        await task.queue_frames([Text("one"), Text("two")])
        await task.end()
        await recorder.until(End)
    spoken = recorder.of(OutputAudio)
    apart = await size_of("one") + await size_of("two")
    assert sum(len(frame.pcm) for frame in spoken) == apart
    written = [frame.data["data"] for frame in recorder.of(OutputMessage)]
    assert written == [{"text": "one"}, {"text": "two"}]
    assert recorder.of(Text) == []


@needs_voice
async def test_speech_streams():
    recorder = Recorder()
    async with running(EspeakTTS(), recorder) as task:
        await task.queue_frame(Text("a long story about nothing at all " * 20))
        await recorder.until(OutputAudio, count=3)
        assert seconds(recorder.of(OutputAudio)) < 40


@needs_voice
async def test_an_interruption_stops_what_is_said_and_what_was_to_be_said():
    recorder = Recorder()
    async with running(EspeakTTS(), recorder) as task:
        await task.queue_frames([Text("a long story " * 200), Text("and another " * 200)])
        await recorder.until(OutputAudio)
        await task.queue_frame(Interruption())
        await recorder.until(Interruption)
        before = recorder.frames.index(Interruption())
        await task.queue_frame(Text("yes"))
        await task.end()
        await recorder.until(End)
    after = [frame for frame in recorder.frames[before:] if isinstance(frame, OutputAudio)]
    assert sum(len(frame.pcm) for frame in after) == await size_of("yes")


@needs_voice
@pytest.mark.parametrize("options", [{"voice": "xx-none"}, {"timeout_s": 0.0}])
async def test_a_text_that_cannot_be_spoken_is_an_error_and_the_session_goes_on(options, caplog):
    recorder = Recorder()
    async with running(recorder, EspeakTTS(**options), enable_rtvi=False) as task:
        await task.queue_frame(Text("a"))
        with anyio.fail_after(5):
            await recorder.changed.until(lambda: recorder.upstream)
        await task.queue_frame(Start())
        await recorder.until(Start, count=2)
    assert recorder.upstream == [ErrorFrame("The bot could not speak.")]
    assert "text not spoken" in caplog.text

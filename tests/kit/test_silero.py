import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from offhook.kit import SileroVADAnalyzer, VADEvent, VADParams, resample
from offhook.kit.silero import volume_of
from offhook.services import espeak

RATE_HZ = 16000
STARTED, STOPPED = VADEvent.SPEECH_STARTED, VADEvent.SPEECH_STOPPED


@pytest.fixture(scope="module")
def speech() -> bytes:
    if not espeak.is_installed():
        pytest.skip("the demo extra (espeakng-loader) is not installed")
    pcm, rate_hz = espeak.synthesize("The quick brown fox jumps over the lazy dog.")
    return resample(pcm, from_hz=rate_hz, to_hz=RATE_HZ)


def silence(seconds: float) -> bytes:
    return bytes(2 * int(RATE_HZ * seconds))


def noise(seconds: float, *, level: float) -> bytes:
    generator = np.random.default_rng(7)
    return (generator.standard_normal(int(RATE_HZ * seconds)) * level).astype("<i2").tobytes()


def heard(analyzer, pcm: bytes, *, size: int = 640, rate_hz: int = RATE_HZ, channels: int = 1):
    """Return the events and when they came, in seconds of audio."""
    found = []
    for end in range(size, len(pcm) + size, size):
        piece = pcm[end - size : end]
        events = analyzer.analyze(piece, sample_rate_hz=rate_hz, channels=channels)
        found += [(event, end / (2 * channels * rate_hz)) for event in events]
    return found


def test_a_sentence_is_one_stretch_of_speech(speech):
    said = silence(1) + speech + silence(1.5)
    (started, starts_at), (stopped, stops_at) = heard(SileroVADAnalyzer(), said)
    assert (started, stopped) == (STARTED, STOPPED)
    assert 1.0 < starts_at < 1.6
    ends_at = 1.0 + len(speech) / (2 * RATE_HZ)
    assert ends_at < stops_at < ends_at + 1.0


@pytest.mark.parametrize("size", [2, 320, 1024, 1_000_000])
def test_however_the_audio_is_cut_the_events_are_the_same(speech, size):
    said = silence(0.5) + speech + silence(1)
    assert [event for event, _ in heard(SileroVADAnalyzer(), said, size=size)] == [STARTED, STOPPED]


@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 1), (48000, 2)])
def test_other_rates_and_stereo_are_understood(speech, rate_hz, channels):
    said = resample(silence(0.5) + speech + silence(1), from_hz=RATE_HZ, to_hz=rate_hz)
    if channels == 2:
        said = np.frombuffer(said, "<i2").repeat(2).tobytes()
    events = heard(SileroVADAnalyzer(), said, rate_hz=rate_hz, channels=channels)
    assert [event for event, _ in events] == [STARTED, STOPPED]


@pytest.mark.parametrize("level", [0, 50, 2000])
def test_neither_silence_nor_noise_is_speech(level):
    assert heard(SileroVADAnalyzer(), noise(3, level=level)) == []


def test_speech_in_noise_is_found(speech):
    said = silence(0.5) + speech + silence(1)
    noisy = np.frombuffer(said, "<i2") + np.frombuffer(
        noise(len(said) / (2 * RATE_HZ), level=300), "<i2"
    )
    events = heard(SileroVADAnalyzer(), noisy.astype("<i2").tobytes())
    assert [event for event, _ in events] == [STARTED, STOPPED]


def test_what_is_quieter_than_wanted_is_no_speech(speech):
    said = silence(0.5) + speech + silence(1)
    assert heard(SileroVADAnalyzer(params=VADParams(min_volume=1.0)), said) == []


def test_volume_has_the_scale_that_is_documented():
    def tone(dbfs: float) -> bytes:
        level = 32768 * 10 ** (dbfs / 20) * 2**0.5
        return np.round(level * np.sin(np.arange(16000) / 5)).astype("<i2").tobytes()

    assert volume_of(tone(-50)) == pytest.approx(0.6, abs=0.01)
    assert volume_of(tone(-20)) == pytest.approx(0.9, abs=0.01)
    assert volume_of(b"") == volume_of(silence(1)) == 0


def run_python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in a fresh process: the limit on threads holds from the model's first import."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},  # noqa: TID251 -- no Config
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )


FORKED = """
    import os
    from offhook.kit import SileroVADAnalyzer
    from offhook.kit.silero import prewarm

    threads = lambda: len(os.listdir("/proc/self/task"))
    prewarm()
    assert threads() == 1, threads()
    limit = os.environ.get("OMP_THREAD_LIMIT")
    assert limit is None, limit
    child = os.fork()
    analyzer = SileroVADAnalyzer()
    loud = bytes(i % 251 for i in range(64_000))
    analyzer.analyze(loud, sample_rate_hz=16000, channels=1)
    assert threads() == 1, threads()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        print("both heard it")
    else:
        os._exit(0)
"""


def test_a_limit_that_the_operator_has_set_stays():
    program = """
        import subprocess
        from offhook.kit.silero import prewarm
        prewarm()
        prewarm()
        print(subprocess.check_output(["printenv", "OMP_THREAD_LIMIT"], text=True).strip())
    """
    done = run_python(program, OMP_THREAD_LIMIT="2")
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_the_model_is_loaded_before_a_fork_without_a_thread_and_works_on_both_sides():
    done = run_python(FORKED)
    assert (done.stdout.strip(), done.stderr) == ("both heard it", "")

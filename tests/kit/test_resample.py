from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import UsageError
from offhook.kit import Resampler, resample

RATES = [(48000, 16000), (24000, 48000), (8000, 16000), (22050, 24000), (16000, 24000)]


def sine(hz: float, *, rate_hz: int, seconds: float = 1.0) -> np.ndarray:
    return 16000 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)


def pcm_of(samples: np.ndarray) -> bytes:
    return np.round(samples).astype("<i2").tobytes()


def samples_of(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2").astype(float)


def snr_db(pcm: bytes, wanted: np.ndarray) -> float:
    """Compare away from the ends, where a filter has only half a signal to work on."""
    middle = slice(1000, -1000)
    noise = samples_of(pcm)[middle] - wanted[middle]
    return 10 * np.log10(np.mean(wanted[middle] ** 2) / np.mean(noise**2))


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_sine_stays_a_sine(from_hz, to_hz):
    out = resample(pcm_of(sine(1000, rate_hz=from_hz)), from_hz=from_hz, to_hz=to_hz)
    assert snr_db(out, sine(1000, rate_hz=to_hz)) > 60


def test_what_the_lower_rate_cannot_hold_is_filtered_out():
    out = resample(pcm_of(sine(11000, rate_hz=48000)), from_hz=48000, to_hz=16000)
    assert np.abs(samples_of(out)[1000:-1000]).max() < 50


@given(
    rates=st.sampled_from(RATES),
    cuts=st.lists(st.integers(0, 8000), max_size=20),
    samples=st.integers(0, 4000),
)
def test_however_a_stream_is_cut_the_result_is_the_same_and_as_long(rates, cuts, samples):
    from_hz, to_hz = rates
    whole = pcm_of(sine(440, rate_hz=from_hz)[:samples])
    resampler = Resampler(from_hz, to_hz)
    borders = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    out = b"".join(resampler.resample(whole[a:b]) for a, b in pairwise(borders))
    out += resampler.flush()
    assert out == resample(whole, from_hz=from_hz, to_hz=to_hz)
    assert len(out) == 2 * -(-samples * to_hz // from_hz)


def test_at_most_a_few_milliseconds_are_held_back():
    resampler = Resampler(22050, 24000)
    out = resampler.resample(pcm_of(sine(440, rate_hz=22050)))
    assert 24000 - len(out) // 2 < 0.003 * 24000


def test_a_stream_begins_afresh_after_a_flush():
    resampler = Resampler(48000, 16000)
    piece = pcm_of(sine(440, rate_hz=48000, seconds=0.1))
    first = resampler.resample(piece) + resampler.flush()
    assert resampler.resample(piece) + resampler.flush() == first


@pytest.mark.parametrize("to_hz", [16000, 24000])
def test_stereo_becomes_mono_as_the_mean_of_both(to_hz):
    left, right = sine(400, rate_hz=16000), sine(700, rate_hz=16000)
    both = pcm_of(np.stack([left, right], axis=1).ravel())
    resampler = Resampler(16000, to_hz, 2, 1)
    out = resampler.resample(both) + resampler.flush()
    wanted = (sine(400, rate_hz=to_hz) + sine(700, rate_hz=to_hz)) / 2
    assert snr_db(out, wanted) > 55


@pytest.mark.parametrize("to_hz", [16000, 24000])
def test_mono_becomes_the_same_on_both_sides(to_hz):
    resampler = Resampler(16000, to_hz, 1, 2)
    out = resampler.resample(pcm_of(sine(400, rate_hz=16000))) + resampler.flush()
    both = samples_of(out).reshape(-1, 2)
    assert np.array_equal(both[:, 0], both[:, 1])
    gain = np.abs(both[1000:-1000]).max() / 16000
    assert gain == pytest.approx(1.0, abs=0.02)


def test_nothing_is_done_where_nothing_changes():
    piece = pcm_of(sine(440, rate_hz=16000))
    assert Resampler(16000, 16000).resample(piece) == piece


@pytest.mark.parametrize("arguments", [(0, 8000), (8000, 0), (8000, 8000, 3), (8000, 8000, 1, 0)])
def test_a_format_that_does_not_exist_is_refused(arguments):
    with pytest.raises(UsageError):
        Resampler(*arguments)

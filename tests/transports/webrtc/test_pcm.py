"""PCM in equal pieces, of another format, fading."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.transports.webrtc.pcm import Rechunker, blend, fade

from .peers import loudness, tone


@given(st.lists(st.integers(0, 2_000), max_size=30))
def test_any_portions_give_the_same_pieces(sizes):
    pcm = bytes(index % 251 for index in range(2 * sum(sizes)))
    chunks = Rechunker(from_rate_hz=16_000, to_rate_hz=16_000)
    pieces, at = [], 0
    for size in sizes:
        pieces += chunks.push(pcm[at : at + 2 * size])
        at += 2 * size
    assert {len(piece) for piece in pieces} <= {640}
    assert b"".join(pieces) == pcm[: len(pcm) // 640 * 640]


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(48_000, 44_100), (16_000, 22_050), (8_000, 16_000)]
)
def test_rates_that_opus_lacks_are_converted_without_losing_time_or_level(from_hz, to_hz):
    chunks = Rechunker(from_rate_hz=from_hz, to_rate_hz=to_hz)
    pcm = tone(frames=50, rate_hz=from_hz)
    size = from_hz // 50 * 2
    pieces = [p for at in range(0, len(pcm), size) for p in chunks.push(pcm[at : at + size])]
    assert {len(piece) for piece in pieces} == {to_hz // 50 * 2}
    assert len(pieces) >= 48
    assert loudness(pieces[-1]) == pytest.approx(loudness(pcm), rel=0.05)


def test_mono_becomes_stereo():
    chunks = Rechunker(from_rate_hz=16_000, to_rate_hz=16_000, to_channels=2)
    (piece,) = chunks.push(tone(frames=1))
    samples = array("h", piece)
    assert samples[0::2] == samples[1::2]
    assert len(piece) == 1280


def test_nothing_in_gives_nothing_out():
    assert list(Rechunker(from_rate_hz=16_000, to_rate_hz=48_000).push(b"")) == []


def test_a_fade_goes_evenly_from_one_gain_to_the_other():
    pcm = array("h", [1000] * 100).tobytes()
    faded = array("h", fade(pcm, gain_from=1.0, gain_to=0.0))
    assert faded[0] == 1000
    assert faded[50] == 500
    assert faded[99] == 10


def test_full_gain_changes_nothing():
    assert fade(b"\x01\x02", gain_from=1.0, gain_to=1.0) == b"\x01\x02"


def test_blending_goes_from_one_piece_to_the_other():
    first, second = array("h", [1000] * 100).tobytes(), array("h", [-1000] * 100).tobytes()
    blended = array("h", blend(first, second))
    assert len(blended) == 100
    assert (blended[0], blended[50], blended[99]) == (1000, 0, -980)

"""PCMU and PCMA for peers without Opus."""

from array import array

import pytest

from offhook.transports.webrtc import g711

from .peers import loudness, tone

# Some values of ITU-T G.711's tables.
MU_VALUES = {0xFF: 0, 0x7F: 0, 0x80: 32124, 0x00: -32124, 0xF0: 120, 0x8F: 16764}
A_VALUES = {0xD5: 8, 0x55: -8, 0xAA: 32256, 0x2A: -32256, 0xC5: 264, 0x80: 5504}


@pytest.mark.parametrize(("law", "values"), [("PCMU", MU_VALUES), ("PCMA", A_VALUES)])
def test_codes_have_the_values_of_the_standard(law, values):
    decoded = array("h", g711.decode(bytes(values), law))
    assert list(decoded) == list(values.values())


@pytest.mark.parametrize("law", ["PCMU", "PCMA"])
def test_each_code_is_its_own_nearest(law):
    codes = bytes(code for code in range(256) if not (law == "PCMU" and code == 0x7F))
    assert g711.encode(g711.decode(codes, law), law) == codes


@pytest.mark.parametrize("law", ["PCMU", "PCMA"])
def test_any_sample_comes_back_within_the_step_of_its_segment(law):
    samples = array("h", range(-32_768, 32_768, 7))
    back = array("h", g711.decode(g711.encode(samples.tobytes(), law), law))
    for sample, again in zip(samples, back, strict=True):
        assert abs(sample - again) <= max(abs(sample) / 16, 16) + 4


@pytest.mark.parametrize("law", ["PCMU", "PCMA"])
def test_a_bot_s_rate_is_resampled_to_packets_of_20_ms(law):
    encoder = g711.G711Encoder(law, sample_rate_hz=24_000)
    pcm = tone(frames=20, rate_hz=24_000)
    packets = [encoder.encode(pcm[at : at + 960]) for at in range(0, len(pcm), 960)]
    assert {len(packet) for packet in packets[2:]} == {160}
    assert loudness(g711.decode(packets[-1], law)) == pytest.approx(loudness(pcm), rel=0.1)


def test_concealment_repeats_the_last_packet_until_a_reset():
    decoder = g711.G711Decoder("PCMU")
    last = decoder.decode(bytes(range(160)))
    assert decoder.conceal(160) == last
    assert decoder.recover(b"", 160) == last
    assert decoder.conceal(320) == last * 2
    decoder.reset()
    assert decoder.conceal(160) == bytes(320)

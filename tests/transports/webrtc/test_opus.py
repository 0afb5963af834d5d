"""libopus by ctypes: rates, modes, concealment and in-band copies."""

import pytest

from offhook.transports.webrtc.opus import (
    RATES_HZ,
    Application,
    OpusDecoder,
    OpusEncoder,
    OpusError,
)

from .peers import loudness, tone


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("application", Application)
@pytest.mark.parametrize("channels", [1, 2])
def test_each_rate_and_mode_comes_back_as_loud_as_it_went(rate_hz, application, channels):
    encoder = OpusEncoder(sample_rate_hz=rate_hz, channels=channels, application=application)
    decoder = OpusDecoder(sample_rate_hz=rate_hz, channels=channels)
    pcm = tone(frames=20, rate_hz=rate_hz * channels)
    size = encoder.frame_bytes
    frames = [pcm[at : at + size] for at in range(0, len(pcm), size)]
    back = [decoder.decode(encoder.encode(frame)) for frame in frames]
    assert {len(frame) for frame in back} == {size}
    assert loudness(back[-1]) == pytest.approx(loudness(frames[-1]), rel=0.25)


def test_the_decoder_s_rate_need_not_be_the_encoder_s():
    encoder = OpusEncoder(sample_rate_hz=48_000)
    decoder = OpusDecoder(sample_rate_hz=16_000)
    pcm = tone(frames=1, rate_hz=48_000)
    assert len(decoder.decode(encoder.encode(pcm))) == 640


def test_a_frame_of_the_wrong_length_is_refused():
    encoder = OpusEncoder(sample_rate_hz=16_000)
    with pytest.raises(ValueError, match="640"):
        encoder.encode(bytes(638))


def test_an_impossible_rate_is_an_opus_error():
    with pytest.raises(OpusError):
        OpusEncoder(sample_rate_hz=44_100)
    with pytest.raises(OpusError):
        OpusDecoder(sample_rate_hz=44_100)


def test_a_broken_packet_is_an_opus_error():
    decoder = OpusDecoder(sample_rate_hz=16_000)
    with pytest.raises(OpusError):
        decoder.decode(b"\x0b")


def test_concealment_goes_on_with_the_sound_and_dies_away():
    encoder = OpusEncoder(sample_rate_hz=16_000)
    decoder = OpusDecoder(sample_rate_hz=16_000)
    pcm = tone(frames=10)
    for at in range(0, len(pcm), 640):
        decoder.decode(encoder.encode(pcm[at : at + 640]))
    invented = [loudness(decoder.conceal(320)) for _ in range(20)]
    assert invented[0] > 2_000
    assert invented[-1] < invented[0] / 2


@pytest.mark.parametrize("application", Application)
def test_only_speech_mode_carries_copies_of_the_packet_before(application):
    # A sound that begins in the lost packet: only a copy can bring it back.
    encoder = OpusEncoder(sample_rate_hz=16_000, application=application)
    if application is Application.SPEECH:
        encoder.expect_loss(30)
    pcm = bytes(640 * 20) + tone(frames=4, hz=300)
    packets = [encoder.encode(pcm[at : at + 640]) for at in range(0, len(pcm), 640)]
    decoder = OpusDecoder(sample_rate_hz=16_000)
    for packet in packets[:20]:
        decoder.decode(packet)
    recovered = loudness(decoder.recover(packets[21], 320))
    if application is Application.SPEECH:
        assert recovered > 3_000
    else:
        assert recovered < 100


def test_after_a_reset_nothing_of_the_old_sound_is_left():
    encoder = OpusEncoder(sample_rate_hz=16_000)
    decoder = OpusDecoder(sample_rate_hz=16_000)
    pcm = tone(frames=10)
    for at in range(0, len(pcm), 640):
        decoder.decode(encoder.encode(pcm[at : at + 640]))
    decoder.reset()
    assert loudness(decoder.conceal(320)) == 0


def test_silence_costs_few_bytes():
    encoder = OpusEncoder(sample_rate_hz=24_000)
    sizes = [len(encoder.encode(bytes(encoder.frame_bytes))) for _ in range(10)]
    assert max(sizes) <= 130

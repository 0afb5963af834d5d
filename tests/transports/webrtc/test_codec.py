"""The codecs of an answer."""

import pytest

from offhook.transports.webrtc.codec import Codec
from offhook.transports.webrtc.opus import Application

from .peers import loudness, tone

CODECS = {
    "opus": Codec("opus", 111, 48_000),
    "pcmu": Codec("pcmu", 0, 8_000),
    "pcma": Codec("pcma", 8, 8_000),
}


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_what_is_encoded_is_decoded(codec):
    encoder = codec.encoder(sample_rate_hz=16_000, channels=1, application=Application.LOW_DELAY)
    decoder, rate_hz, channels = codec.decoder(sample_rate_hz=16_000, channels=1)
    pcm = tone(frames=10)
    packets = [encoder.encode(pcm[at : at + 640]) for at in range(0, len(pcm), 640)]
    back = [decoder.decode(packet) for packet in packets if packet]
    assert channels == 1
    assert len(back[-1]) == rate_hz // 50 * 2
    assert loudness(back[-1]) == pytest.approx(loudness(pcm), rel=0.25)
    assert codec.ticks(packets[-1]) == codec.clock_hz // 50


def test_a_packet_of_g711_that_is_too_long_is_none():
    assert CODECS["pcmu"].ticks(bytes(5_000)) == 0

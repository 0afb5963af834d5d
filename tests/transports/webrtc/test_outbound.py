"""From pieces of 20 ms to packets."""

from offhook.transports.webrtc import rtp
from offhook.transports.webrtc.codec import Codec
from offhook.transports.webrtc.outbound import OutboundAudio

from .peers import tone

OPUS = Codec("opus", 111, 48_000)
CELT_ONLY = 0x80  # RFC 6716 §3.1: configurations from 16 up


def outbound(codec: Codec = OPUS) -> OutboundAudio:
    audio = OutboundAudio(codec, ssrc=7)
    audio.open(sample_rate_hz=16_000, channels=1)
    return audio


def packet(audio: OutboundAudio, number: int, *, ticks: int | None = None) -> rtp.RtpPacket:
    place = number * 960 if ticks is None else ticks
    data = audio.packet(tone(frames=1), ticks=place, is_first=number == 0)
    assert data is not None
    parsed = rtp.parse(data)
    assert parsed is not None
    return parsed


def test_sequence_and_timestamp_go_on_and_the_first_packet_is_marked():
    audio = outbound()
    data = audio.packet(tone(frames=1), ticks=0, is_first=True)
    assert data is not None
    assert data[1] == 0x80 | 111
    first, second = packet(audio, 1), packet(audio, 2)
    assert (second.sequence - first.sequence) & 0xFFFF == 1
    assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == 960
    assert second.ssrc == 7
    assert audio.packets == 3
    assert audio.octets > 0


def test_timestamps_count_in_the_codec_s_own_clock():
    audio = outbound(Codec("pcmu", 0, 8_000))
    assert audio.packet(tone(frames=1), ticks=0, is_first=True) is None  # the resampler's delay
    first, second = packet(audio, 1), packet(audio, 2)
    assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == 160


def test_before_a_format_is_known_nothing_can_be_sent():
    assert OutboundAudio(OPUS, ssrc=1).packet(bytes(640), ticks=0, is_first=True) is None


def test_loss_brings_the_mode_with_copies_and_calm_brings_back_the_quick_one():
    audio = outbound()
    assert packet(audio, 0).payload[0] & CELT_ONLY
    audio.loss_reported(5.0)
    assert not packet(audio, 1).payload[0] & CELT_ONLY
    for _ in range(9):
        audio.loss_reported(0.0)
    assert not packet(audio, 2).payload[0] & CELT_ONLY
    audio.loss_reported(0.0)
    assert packet(audio, 3).payload[0] & CELT_ONLY


def test_loss_that_is_reported_before_the_bot_speaks_is_remembered():
    audio = OutboundAudio(OPUS, ssrc=1)
    audio.loss_reported(5.0)
    audio.open(sample_rate_hz=16_000, channels=1)
    assert not packet(audio, 1).payload[0] & CELT_ONLY

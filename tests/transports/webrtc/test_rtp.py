"""RTP headers, wrap-around and the lengths of Opus packets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.transports.webrtc import rtp
from offhook.transports.webrtc.opus import OpusEncoder


@given(
    st.builds(
        rtp.RtpPacket,
        st.integers(0, 127),
        st.integers(0, 65_535),
        st.integers(0, (1 << 32) - 1),
        st.integers(0, (1 << 32) - 1),
        st.binary(max_size=200),
    ),
    st.booleans(),
)
def test_what_is_built_is_parsed_again(packet, is_marked):
    data = rtp.build(
        packet.payload,
        payload_type=packet.payload_type,
        sequence=packet.sequence,
        timestamp=packet.timestamp,
        ssrc=packet.ssrc,
        is_marked=is_marked,
    )
    assert rtp.parse(data) == packet
    assert data[1] >> 7 == is_marked


def test_sources_extension_and_padding_are_no_payload():
    header = bytes([0x80 | 0x20 | 0x10 | 1, 96]) + bytes(10) + bytes(4)
    data = header + b"\xbe\xde\x00\x01" + bytes(4) + b"sound" + b"\x00\x00\x03"
    packet = rtp.parse(data)
    assert packet is not None
    assert packet.payload == b"sound"


@given(st.binary(max_size=64))
def test_any_bytes_are_a_packet_or_nothing(data):
    packet = rtp.parse(data)
    assert packet is None or len(packet.payload) <= len(data) - 12


def test_rtcp_is_told_from_rtp():
    assert rtp.is_rtcp(bytes([0x80, 200]))
    assert not rtp.is_rtcp(bytes([0x80, 0x80 | 96]))
    assert not rtp.is_rtcp(b"\x80")


@given(st.integers(-(10**6), 10**12), st.integers(-30_000, 30_000))
def test_unwrapping_finds_the_nearest_number(near, away):
    assert rtp.unwrap((near + away) & 0xFFFF, near=near, bits=16) == near + away


@pytest.mark.parametrize(
    ("first_byte", "ticks"),
    [
        (0x00, 480),
        (0x08, 960),
        (0x10, 1920),
        (0x18, 2880),
        (0x60, 480),
        (0x68, 960),
        (0x80, 120),
        (0x98, 960),
        (0x09, 1920),
        (0x0A, 1920),
    ],
)
def test_an_opus_packet_tells_its_length(first_byte, ticks):
    assert rtp.opus_ticks(bytes([first_byte, 0])) == ticks


def test_an_opus_packet_of_counted_frames_tells_its_length():
    assert rtp.opus_ticks(bytes([0x0B, 3])) == 3 * 960
    assert rtp.opus_ticks(bytes([0x0B])) == 0
    assert rtp.opus_ticks(bytes([0x1B, 63])) == 0  # more than 120 ms is no packet
    assert rtp.opus_ticks(b"") == 0


def test_what_our_encoder_makes_plays_for_20_ms():
    encoder = OpusEncoder(sample_rate_hz=24_000)
    assert rtp.opus_ticks(encoder.encode(bytes(encoder.frame_bytes))) == rtp.FRAME_TICKS

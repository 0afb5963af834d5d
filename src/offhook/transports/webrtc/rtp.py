"""RTP (RFC 3550 §5.1) as far as one audio stream needs it: headers, wrap-around, Opus lengths."""

import struct
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("!BBHLL")
VERSION: Final = 0x80
MARKER: Final = 0x80
OPUS_CLOCK_HZ: Final = 48_000
FRAMES_PER_S: Final = 50
FRAME_S: Final = 0.02
FRAME_TICKS: Final = 960
LONGEST_OPUS_TICKS: Final = 5760

_SILK_TICKS: Final = (480, 960, 1920, 2880)
_HYBRID_TICKS: Final = (480, 960)
_CELT_TICKS: Final = (120, 240, 480, 960)
_FIRST_HYBRID, _FIRST_CELT = 12, 16
_COUNTED_FRAMES: Final = 3


class RtpPacket(NamedTuple):
    """One packet, as received; sequence and timestamp wrap at 16 and 32 bits."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def is_rtcp(data: bytes) -> bool:
    """Tell RTCP from RTP on a shared port (RFC 5761 §4)."""
    return len(data) > 1 and 192 <= data[1] <= 223  # noqa: PLR2004 -- the RFC's own numbers


def parse(data: bytes) -> RtpPacket | None:
    """Read one packet; nothing when it is none."""
    if len(data) < HEADER.size or data[0] >> 6 != 2:  # noqa: PLR2004 -- RTP version 2
        return None
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    start = HEADER.size + 4 * (first & 0x0F)
    end = len(data)
    if first & 0x10:
        if end < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    if first & 0x20:
        end -= data[-1]
    if start > end:
        return None
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, data[start:end])


def build(
    payload: bytes,
    *,
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    is_marked: bool = False,
) -> bytes:
    """Write one packet; `sequence` and `timestamp` are cut to their widths."""
    second = payload_type | MARKER if is_marked else payload_type
    header = HEADER.pack(VERSION, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    return header + payload


def unwrap(value: int, *, near: int, bits: int) -> int:
    """Return the number closest to `near` whose lowest `bits` are `value`."""
    span = 1 << bits
    half = span >> 1
    return near + ((value - near + half) % span) - half


def opus_ticks(payload: bytes) -> int:
    """Return how long an Opus packet plays, in ticks of 48 kHz (RFC 6716 §3.1); 0 if it is none."""
    if not payload:
        return 0
    config, code = payload[0] >> 3, payload[0] & 3
    if config < _FIRST_HYBRID:
        frame = _SILK_TICKS[config & 3]
    elif config < _FIRST_CELT:
        frame = _HYBRID_TICKS[config & 1]
    else:
        frame = _CELT_TICKS[config & 3]
    if code == _COUNTED_FRAMES:
        count = payload[1] & 0x3F if len(payload) > 1 else 0
    else:
        count = 1 if code == 0 else 2
    ticks = frame * count
    return ticks if ticks <= LONGEST_OPUS_TICKS else 0

"""RTCP reports (RFC 3550 §6.4) for one audio stream each way: pure, bytes out.

The peer's encoder adds in-band copies only when our reports tell it of loss.
"""

import struct
from typing import Final

from offhook.transports.webrtc.rtp import unwrap

REPORT_INTERVAL_S: Final = 1.0
_SENDER, _RECEIVER, _DESCRIPTION = 200, 201, 202
_CNAME: Final = 1
_NTP_FRACTION: Final = 1 << 32


class ReceptionStatistics:
    """Counts what came of one stream, as RFC 3550 §A.3 and §A.8 want it."""

    def __init__(self, *, clock_hz: int) -> None:
        self._hz = clock_hz
        self._ssrc: int | None = None
        self._first = 0
        self._highest = 0
        self._received = 0
        self._expected_before = 0
        self._received_before = 0
        self._transit: float | None = None
        self._jitter = 0.0
        self._last_sender_report = 0
        self._sender_report_at = 0.0

    def add(self, *, ssrc: int, sequence: int, timestamp: int, now: float) -> None:
        """Count one packet."""
        if ssrc != self._ssrc:
            self.__init__(clock_hz=self._hz)  # type: ignore[misc]  # another stream: begin anew
            self._ssrc = ssrc
            self._first = self._highest = sequence
        self._received += 1
        self._highest = max(self._highest, unwrap(sequence, near=self._highest, bits=16))
        transit = (now * self._hz - timestamp) % (1 << 32)
        if self._transit is not None:
            change = abs(transit - self._transit)
            if change < self._hz * 10:
                self._jitter += (change - self._jitter) / 16
        self._transit = transit

    def sender_reported(self, ntp_timestamp: int, *, now: float) -> None:
        """Remember the peer's own report, so that it can measure the way."""
        self._last_sender_report = (ntp_timestamp >> 16) & 0xFFFFFFFF
        self._sender_report_at = now

    def block(self, *, now: float) -> bytes:
        """Write a report block; empty when nothing has come yet."""
        if self._ssrc is None:
            return b""
        expected = self._highest - self._first + 1
        lost = max(-0x800000, min(expected - self._received, 0x7FFFFF))
        new_expected = expected - self._expected_before
        new_lost = new_expected - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        fraction = (new_lost << 8) // new_expected if new_lost > 0 else 0
        since = int((now - self._sender_report_at) * 65536) if self._last_sender_report else 0
        return struct.pack(
            "!LLLLLL",
            self._ssrc,
            min(fraction, 255) << 24 | (lost & 0xFFFFFF),
            self._highest & 0xFFFFFFFF,
            int(self._jitter) & 0xFFFFFFFF,
            self._last_sender_report,
            since & 0xFFFFFFFF,
        )


def receiver_report(ssrc: int, block: bytes, *, cname: str) -> bytes:
    """Write a report of one that only receives."""
    return _packet(_RECEIVER, len(block) // 24, struct.pack("!L", ssrc) + block) + _description(
        ssrc, cname
    )


def sender_report(
    ssrc: int,
    block: bytes,
    *,
    cname: str,
    now: float,
    timestamp: int,
    packets: int,
    octets: int,
) -> bytes:
    """Write a report of one that sends; time is elapsed time, as RFC 3550 §6.4.1 allows."""
    body = struct.pack(
        "!LQLLL",
        ssrc,
        int(now * _NTP_FRACTION),
        timestamp & 0xFFFFFFFF,
        packets & 0xFFFFFFFF,
        octets & 0xFFFFFFFF,
    )
    return _packet(_SENDER, len(block) // 24, body + block) + _description(ssrc, cname)


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def _description(ssrc: int, cname: str) -> bytes:
    name = cname.encode()
    item = bytes((_CNAME, len(name))) + name
    padding = 4 - len(item) % 4
    return _packet(_DESCRIPTION, 1, struct.pack("!L", ssrc) + item + bytes(padding))

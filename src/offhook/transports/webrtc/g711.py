"""PCMU and PCMA (RFC 3551 §4.5.14), for a peer that has no Opus.

Spoken over WebRTC so seldom that plain arithmetic does; the decoder's table is made on first use.
"""

from array import array
from functools import cache
from typing import Final, Literal

from offhook.transports.webrtc.pcm import Rechunker

Law = Literal["PCMU", "PCMA"]
SAMPLE_RATE_HZ: Final = 8_000
_BIAS: Final = 0x84
_CLIP: Final = 32_635


def _mu_encode(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF


def _mu_decode(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS << ((code >> 4) & 7)) - _BIAS
    return -magnitude if code & 0x80 else magnitude


def _a_encode(sample: int) -> int:
    sign = 0x80 if sample >= 0 else 0
    magnitude = (sample if sample >= 0 else ~sample) >> 4
    exponent = max(magnitude.bit_length() - 4, 0)
    mantissa = magnitude >> max(exponent - 1, 0)
    code = exponent << 4 | (mantissa & 0x0F)
    return (sign | code) ^ 0x55


def _a_decode(code: int) -> int:
    code ^= 0x55
    exponent, mantissa = (code >> 4) & 7, code & 0x0F
    magnitude = (mantissa << 4) + 8
    if exponent:
        magnitude = magnitude + 0x100 << exponent - 1
    return magnitude if code & 0x80 else -magnitude


@cache
def _table(law: Law) -> tuple[int, ...]:
    decode = _mu_decode if law == "PCMU" else _a_decode
    return tuple(decode(code) for code in range(256))


def encode(pcm: bytes, law: Law) -> bytes:
    """Turn 16-bit PCM at 8 kHz into one byte a sample."""
    one = _mu_encode if law == "PCMU" else _a_encode
    return bytes(map(one, array("h", pcm)))


def decode(payload: bytes, law: Law) -> bytes:
    """Turn one byte a sample into 16-bit PCM at 8 kHz."""
    return array("h", map(_table(law).__getitem__, payload)).tobytes()


class G711Encoder:
    """Turns 20 ms of 16-bit PCM at any rate into packets of 20 ms."""

    def __init__(self, law: Law, *, sample_rate_hz: int, channels: int = 1) -> None:
        self._law: Law = law
        self._chunks = Rechunker(
            from_rate_hz=sample_rate_hz,
            to_rate_hz=SAMPLE_RATE_HZ,
            from_channels=channels,
            to_channels=1,
        )

    def encode(self, pcm: bytes) -> bytes:
        """Encode one frame; the resampler's first one may be empty."""
        return b"".join(encode(chunk, self._law) for chunk in self._chunks.push(pcm))


class G711Decoder:
    """Turns packets into 16-bit PCM at 8 kHz, mono."""

    def __init__(self, law: Law) -> None:
        self._law: Law = law
        self._last = b""

    def decode(self, payload: bytes) -> bytes:
        """Decode one packet."""
        self._last = decode(payload, self._law)
        return self._last

    def recover(self, payload: bytes, samples: int) -> bytes:
        """G.711 carries no copies: conceal."""
        del payload
        return self.conceal(samples)

    def conceal(self, samples: int) -> bytes:
        """Repeat the last packet."""
        repeated = self._last or bytes(2)
        return (repeated * (samples * 2 // len(repeated) + 1))[: samples * 2]

    def reset(self) -> None:
        """Forget what was decoded before."""
        self._last = b""

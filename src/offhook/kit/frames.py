"""What flows through a pipeline: a closed set of small frozen records; `match` on them.

A processor passes on whatever it does not take. Bots that need a frame of their own derive it from
`CustomFrame`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class FrameDirection(Enum):
    """Which way a frame travels: from the user to the bot's voice, or back towards the source."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Start:
    """The first frame of every pipeline: get ready, media comes next."""

    allow_interruptions: bool = True


@dataclass(frozen=True, slots=True)
class End:
    """The last frame: say what is still to be said, then finish."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The last frame, now: drop what is left and finish."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class InputAudio:
    """Some milliseconds of the user, as signed 16-bit little-endian samples, channels interleaved.

    Attributes:
        pcm: The samples.
        sample_rate_hz: Samples per second and channel.
        channels: 1 for mono, 2 for stereo.
        is_concealed: The network lost this piece; what is here is a guess.
    """

    pcm: bytes
    sample_rate_hz: int
    channels: int = 1
    is_concealed: bool = False

    @property
    def duration_s(self) -> float:
        """How long it plays."""
        return len(self.pcm) / (2 * self.channels * self.sample_rate_hz)


@dataclass(frozen=True, slots=True)
class OutputAudio:
    """Something for the user to hear, of any length, in the same form as `InputAudio`."""

    pcm: bytes
    sample_rate_hz: int
    channels: int = 1

    @property
    def duration_s(self) -> float:
        """How long it plays."""
        return len(self.pcm) / (2 * self.channels * self.sample_rate_hz)


@dataclass(frozen=True, slots=True)
class Text:
    """Words for the bot to say; a speech synthesiser turns them into `OutputAudio`."""

    text: str


@dataclass(frozen=True, slots=True)
class InputMessage:
    """An application message from the client, as it came."""

    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OutputMessage:
    """An application message for the client; it is sent at once, before audio that waits."""

    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class UserStartedSpeaking:
    """The user's turn has begun."""


@dataclass(frozen=True, slots=True)
class UserStoppedSpeaking:
    """The user's turn is over."""


@dataclass(frozen=True, slots=True)
class BotStartedSpeaking:
    """The first audio of an utterance has really left."""


@dataclass(frozen=True, slots=True)
class BotStoppedSpeaking:
    """The last audio of an utterance has left, or was flushed."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """The user cuts in: forget all speech that is queued or being made. It overtakes what waits."""


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """Something went wrong. `error` is fit for the client; details belong in the log."""

    error: str
    is_fatal: bool = False


@dataclass(frozen=True, slots=True)
class CustomFrame:
    """Root of the frames that a bot adds for itself."""


Frame: TypeAlias = (
    Start
    | End
    | Cancel
    | InputAudio
    | OutputAudio
    | Text
    | InputMessage
    | OutputMessage
    | UserStartedSpeaking
    | UserStoppedSpeaking
    | BotStartedSpeaking
    | BotStoppedSpeaking
    | Interruption
    | ErrorFrame
    | CustomFrame
)
"""Every frame there is."""

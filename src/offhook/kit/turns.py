"""Whose turn it is: a small part, made to be replaced by a cleverer one."""

from collections.abc import Sequence
from typing import Protocol

from offhook.kit.frames import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    Frame,
    Interruption,
    UserStartedSpeaking,
    UserStoppedSpeaking,
)
from offhook.kit.vad import VADEvent


class Turns(Protocol):
    """Decides from what is heard when the user's turn begins and ends, and who is interrupted."""

    def handle(self, event: VADEvent | BotStartedSpeaking | BotStoppedSpeaking) -> Sequence[Frame]:
        """Return the frames that follow from the event, in order."""
        ...


class VADTurns:
    """A turn is what voice activity detection takes for one; beginning it silences the bot.

    The interruption is sent whether or not the bot can be heard: it may be about to speak.
    """

    def __init__(self, *, allow_interruptions: bool = True) -> None:
        self._allow_interruptions = allow_interruptions

    def handle(self, event: VADEvent | BotStartedSpeaking | BotStoppedSpeaking) -> Sequence[Frame]:
        """Return the frames that follow from the event, in order."""
        match event:
            case VADEvent.SPEECH_STARTED if self._allow_interruptions:
                return (UserStartedSpeaking(), Interruption())
            case VADEvent.SPEECH_STARTED:
                return (UserStartedSpeaking(),)
            case VADEvent.SPEECH_STOPPED:
                return (UserStoppedSpeaking(),)
            case _:
                return ()

"""Why a session ended, and what the caller experienced."""

from enum import StrEnum
from typing import Final, NamedTuple


class EndReason(StrEnum):
    """The one machine-readable reason that every session ends with."""

    CLIENT_LEFT = "client_left"
    BOT_FINISHED = "bot_finished"
    BOT_CRASHED = "bot_crashed"
    BOT_UNRESPONSIVE = "bot_unresponsive"
    MEMORY_LIMIT = "memory_limit"
    TIME_LIMIT = "time_limit"
    IDLE = "idle"
    NEVER_CONNECTED = "never_connected"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    CLIENT_LOST = "client_lost"
    BAD_OFFER = "bad_offer"
    NO_WORKER = "no_worker"
    REFUSED_BUSY = "refused_busy"
    REFUSED_AUTH = "refused_auth"
    DRAINED = "drained"
    STOPPED_BY_OPERATOR = "stopped_by_operator"
    HOST_LOST = "host_lost"


WORDS: Final[dict[EndReason, str]] = {
    EndReason.CLIENT_LEFT: "The caller hung up.",
    EndReason.BOT_FINISHED: "The bot ended the conversation.",
    EndReason.BOT_CRASHED: "The bot crashed.",
    EndReason.BOT_UNRESPONSIVE: "The bot stopped responding and was ended.",
    EndReason.MEMORY_LIMIT: "The bot used more memory than it may and was ended.",
    EndReason.TIME_LIMIT: "The longest time that a conversation may take was over.",
    EndReason.IDLE: "Nobody said anything for a long time.",
    EndReason.NEVER_CONNECTED: "The caller never connected.",
    EndReason.HANDSHAKE_TIMEOUT: "The caller was ready, but the bot never said that it was.",
    EndReason.CLIENT_LOST: "The connection to the caller was lost.",
    EndReason.BAD_OFFER: "The caller's offer could not be answered.",
    EndReason.NO_WORKER: "No bot process could be started in time.",
    EndReason.REFUSED_BUSY: "All lines were busy.",
    EndReason.REFUSED_AUTH: "The caller did not prove who they are.",
    EndReason.DRAINED: "The server is shutting down.",
    EndReason.STOPPED_BY_OPERATOR: "An operator ended the conversation.",
    EndReason.HOST_LOST: "The machine that ran the bot was lost.",
}
"""What a person is told; one sentence for each reason."""

DETAILED: Final = frozenset({EndReason.BOT_CRASHED, EndReason.HOST_LOST})
"""Reasons whose detail a person is told too; that of the others is for the log."""


class Ending(NamedTuple):
    """How a session ended: one machine-readable word, and the facts behind it."""

    reason: EndReason
    detail: str = ""

    @property
    def is_orderly(self) -> bool:
        """Whether the bot's process did what it should."""
        return self.reason is not EndReason.BOT_CRASHED

    @property
    def words(self) -> str:
        """One sentence for a person."""
        words = WORDS[self.reason]
        if self.detail and self.reason in DETAILED:
            return f"{words.removesuffix('.')} ({self.detail})."
        return words

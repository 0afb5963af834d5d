"""The data channel's text messages: pure, text in, meaning out."""

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

PING: Final = "ping"
RTVI_LABEL: Final = "rtvi-ai"


class Ping(NamedTuple):
    """The client lives. Not for the application; no reply."""


class TrackStatus(NamedTuple):
    """The client muted or unmuted: 0 is the microphone, 1 the camera, 2 the screen."""

    receiver_index: int
    is_enabled: bool


class AppMessage(NamedTuple):
    """For the application, in order."""

    message: dict[str, object]


class Ignored(NamedTuple):
    """Nothing that this protocol knows."""

    problem: str


Incoming = Ping | TrackStatus | AppMessage | Ignored


def read(text: str) -> Incoming:
    """Tell what a message means; whatever it is, this does not fail."""
    if text.startswith(PING):
        return Ping()
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return Ignored("not JSON")
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return Ignored("no object with a type")
    if message["type"] == "signalling":
        return _read_signalling(message.get("message"))
    return AppMessage(message)


def _read_signalling(body: object) -> Incoming:
    match body:
        case {"type": "trackStatus", "receiver_index": int(index), "enabled": bool(is_enabled)}:
            return TrackStatus(index, is_enabled)
        case _:
            return Ignored("unknown signalling message")


def is_rtvi(message: Mapping[str, object], kind: str) -> bool:
    """Whether this is the RTVI message of that type."""
    return message.get("label") == RTVI_LABEL and message.get("type") == kind


def peer_left() -> dict[str, object]:
    """Tell the client that the bot has gone."""
    return {"type": "signalling", "message": {"type": "peerLeft"}}


def fatal_error(words: str) -> dict[str, object]:
    """Tell the client, in words, why all ends."""
    return {"label": RTVI_LABEL, "type": "error", "data": {"error": words, "fatal": True}}


def write(message: Mapping[str, object]) -> str:
    """Turn a message into text."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))

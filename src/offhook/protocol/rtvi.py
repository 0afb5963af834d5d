"""RTVI messages: what a client says is parsed into events, what a bot says is built.

The protocol of the voice clients' data channel, version 2.2.0; a message is a JSON object
`{"label": "rtvi-ai", "type": …, "id": …, "data": …}`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from offhook.errors import BadMessageError

LABEL: Final = "rtvi-ai"
PROTOCOL_VERSION: Final = "2.2.0"
LIBRARY: Final = "offhook"

JsonObject: TypeAlias = dict[str, object]


class Signal(StrEnum):
    """Messages to the client that carry nothing but their type."""

    USER_STARTED_SPEAKING = "user-started-speaking"
    USER_STOPPED_SPEAKING = "user-stopped-speaking"
    BOT_STARTED_SPEAKING = "bot-started-speaking"
    BOT_STOPPED_SPEAKING = "bot-stopped-speaking"
    BOT_INTERRUPTED = "bot-interrupted"
    USER_MUTE_STARTED = "user-mute-started"
    USER_MUTE_STOPPED = "user-mute-stopped"


@dataclass(frozen=True, slots=True)
class ClientReady:
    """The client can hear and wants to know that the bot is there.

    Attributes:
        msg_id: The message's id, which bot-ready repeats.
        version: The client's protocol version as it was written; None if it gave none.
        about: What the client says of itself; empty if it says nothing usable.
    """

    msg_id: str
    version: str | None
    about: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DisconnectBot:
    """The client wants the bot to end the session."""

    msg_id: str


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """A message of the application's own; it may be answered by its id."""

    msg_id: str
    type: str
    data: object


@dataclass(frozen=True, slots=True)
class SendText:
    """The user typed something.

    Attributes:
        msg_id: The message's id.
        content: What was typed.
        run_immediately: The bot is to answer now, interrupting itself.
        audio_response: The answer is to be spoken.
    """

    msg_id: str
    content: str
    run_immediately: bool = True
    audio_response: bool = True


ClientEvent: TypeAlias = ClientReady | DisconnectBot | ClientMessage | SendText


class BadRTVIMessageError(BadMessageError):
    """A message is labelled RTVI but cannot be used.

    Attributes:
        reply: The message that tells the client so.
    """

    def __init__(self, problem: str, reply: JsonObject) -> None:
        super().__init__("RTVI", problem)
        self.reply = reply


class _Envelope(msgspec.Struct):
    type: str
    id: str
    data: JsonObject | None = None


class _ClientReadyData(msgspec.Struct):
    version: object = None
    about: object = None


class _ClientMessageData(msgspec.Struct):
    t: str
    d: object = None


class _SendTextOptions(msgspec.Struct):
    run_immediately: bool = True
    audio_response: bool = True


class _SendTextData(msgspec.Struct):
    content: str
    options: _SendTextOptions | None = None


# Parsing


def decode(text: str | bytes) -> object:
    """Read JSON text; None if it is none, which `parse` then takes for a stranger's message."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def parse(message: object) -> ClientEvent | None:
    """Turn a decoded message of the client into an event; None if it is not labelled RTVI.

    Raises:
        BadRTVIMessageError: It is, but cannot be used. The error carries the reply to send.
    """
    if not isinstance(message, Mapping) or message.get("label") != LABEL:
        return None
    try:
        envelope = msgspec.convert(message, _Envelope)
    except msgspec.ValidationError as problem:
        text = f"Invalid RTVI transport message: {problem}"
        raise BadRTVIMessageError(text, error(text)) from problem
    parser = _PARSERS.get(envelope.type)
    if parser is None:
        text = f"Unsupported type {envelope.type}"
        raise BadRTVIMessageError(text, error_response(envelope.id, text))
    try:
        return parser(envelope.id, envelope.data or {})
    except msgspec.ValidationError as problem:
        text = f"Invalid message: {problem}"
        raise BadRTVIMessageError(text, error_response(envelope.id, text)) from problem


def _parse_client_ready(msg_id: str, data: JsonObject) -> ClientReady:
    ready = msgspec.convert(data, _ClientReadyData)
    about = ready.about if isinstance(ready.about, Mapping) else {}
    is_usable = isinstance(about.get("library"), str)
    # A version of another type is passed on as text: whatever it is, the client gets its bot-ready.
    version = None if ready.version is None else str(ready.version)
    return ClientReady(msg_id, version, about if is_usable else {})


def _parse_disconnect_bot(msg_id: str, _data: JsonObject) -> DisconnectBot:
    return DisconnectBot(msg_id)


def _parse_client_message(msg_id: str, data: JsonObject) -> ClientMessage:
    message = msgspec.convert(data, _ClientMessageData)
    return ClientMessage(msg_id, message.t, message.d)


def _parse_send_text(msg_id: str, data: JsonObject) -> SendText:
    text = msgspec.convert(data, _SendTextData)
    options = text.options or _SendTextOptions()
    return SendText(msg_id, text.content, options.run_immediately, options.audio_response)


_PARSERS: Final[Mapping[str, Callable[[str, JsonObject], ClientEvent]]] = {
    "client-ready": _parse_client_ready,
    "disconnect-bot": _parse_disconnect_bot,
    "client-message": _parse_client_message,
    "send-text": _parse_send_text,
}


# Versions


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a client's version leads to.

    Attributes:
        version: What bot-ready announces.
        problem: What an error-response says before bot-ready; None if there is nothing to say.
    """

    version: str
    problem: str | None = None


def negotiate(version: str | None) -> Negotiated:
    """Decide how to talk to a client of this version. No version is turned away."""
    if version is None:
        return Negotiated(PROTOCOL_VERSION, f"Client version unknown. {_ADVICE}")
    if not (match := _VERSION.fullmatch(version)):
        return Negotiated(PROTOCOL_VERSION, f"Invalid client version format ({version}). {_ADVICE}")
    match int(match[1]):
        case 2:
            return Negotiated(PROTOCOL_VERSION)
        case 1:  # a client of the old kind warns unless it hears its own version
            return Negotiated(version)
        case _:
            problem = (
                f"RTVI version {version} is not compatible with "
                f"server protocol {PROTOCOL_VERSION}. {_ADVICE}"
            )
            return Negotiated(PROTOCOL_VERSION, problem)


_VERSION: Final = re.compile(r"([0-9]{1,9})\.[0-9]{1,9}\.[0-9]{1,9}")
_ADVICE: Final = "Compatibility issues may occur."


# Building


def bot_ready(
    msg_id: str, *, version: str, library_version: str, capabilities: Mapping[str, bool]
) -> JsonObject:
    """Answer client-ready."""
    about = {"library": LIBRARY, "library_version": library_version}
    data: JsonObject = {"version": version, "about": about}
    if capabilities:
        data["capabilities"] = dict(capabilities)
    return _message("bot-ready", data, msg_id)


def error(text: str, *, fatal: bool = False) -> JsonObject:
    """Say that something went wrong; a fatal error makes the client disconnect."""
    return _message("error", {"error": text, "fatal": fatal})


def error_response(msg_id: str, text: str) -> JsonObject:
    """Refuse the client's message of this id."""
    return _message("error-response", {"error": text}, msg_id)


def server_response(message: ClientMessage, data: object = None) -> JsonObject:
    """Answer a message of the application's own."""
    answer: JsonObject = {"t": message.type}
    if data is not None:
        answer["d"] = data
    return _message("server-response", answer, message.msg_id)


def server_message(data: object) -> JsonObject:
    """Tell the application something, unasked."""
    return _message("server-message", data)


def bot_transcription(text: str) -> JsonObject:
    """Say in writing what the bot says in speech, whole sentences at a time."""
    return _message("bot-transcription", {"text": text})


def signal(kind: Signal) -> JsonObject:
    """Say that something happened."""
    return {"label": LABEL, "type": kind.value}


def _message(kind: str, data: object, msg_id: str | None = None) -> JsonObject:
    message: JsonObject = {"label": LABEL, "type": kind}
    if msg_id is not None:
        message["id"] = msg_id
    message["data"] = data
    return message

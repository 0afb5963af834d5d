"""What supervisor, server, template and workers say to each other: one msgpack map a record.

Records travel over `SOCK_SEQPACKET` pairs, which keep their borders, so there is no framing here.
A field or a message that a newer release adds is ignored by an older one.
"""

from enum import StrEnum
from typing import Final

import msgspec

from offhook.errors import BadMessageError

PROTOCOL_VERSION: Final = 1
RECORD_LIMIT_BYTES: Final = 128 * 1024
"""Longest record put on the socket itself; a longer one travels as a sealed memory file."""


class ExitCode:
    """How our processes end, as the shell sees it."""

    OK = 0
    ERROR = 1
    USAGE = 2
    COULD_NOT_START = 3


class Step(StrEnum):
    """One dated entry of a session's timeline, in the usual order."""

    ACCEPTED = "accepted"
    ADMITTED = "admitted"
    WORKER_LEASED = "worker_leased"
    BOT_ENTERED = "bot_entered"
    ANSWER_SENT = "answer_sent"
    ICE_CONNECTED = "ice_connected"
    DTLS_DONE = "dtls_done"
    DATA_CHANNEL_OPEN = "data_channel_open"
    CLIENT_READY = "client_ready"
    BOT_READY = "bot_ready"
    FIRST_AUDIO_IN = "first_audio_in"
    READY = "ready"
    FIRST_AUDIO_OUT = "first_audio_out"
    PEER_CONNECTION_RESTARTED = "peer_connection_restarted"
    CLOSING = "closing"
    ENDED = "ended"


class IceServer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A STUN or TURN server, as in W3C WebRTC §4.2.4 (`RTCIceServer`)."""

    urls: str | tuple[str, ...]
    username: str | None = None
    credential: str | None = None


class IceCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """One trickled candidate (RFC 8838); an empty `candidate` marks the end (RFC 8840)."""

    candidate: str
    sdp_mid: str | None = None
    sdp_mline_index: int | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    """Root of all records."""


# Supervisor and server


class BootServer(Message, frozen=True, kw_only=True, tag="boot_server"):
    """Supervisor → server, first record: the configuration; the listening socket rides along."""

    config: bytes
    version: int = PROTOCOL_VERSION


class TemplateStarted(Message, frozen=True, kw_only=True, tag="template_started"):
    """Supervisor → server: a template is being started; its channel rides along."""

    generation: int


class TemplateExited(Message, frozen=True, kw_only=True, tag="template_exited"):
    """Supervisor → server: no worker will come from that template any more."""

    generation: int
    status: int


class ChildExited(Message, frozen=True, kw_only=True, tag="child_exited"):
    """Supervisor → server: a process has been reaped; `status` as from `waitpid`."""

    pid: int
    status: int


class StopServer(Message, frozen=True, kw_only=True, tag="stop_server"):
    """Supervisor → server: admit nobody, end the live sessions, exit."""

    grace_s: float


class ServerReady(Message, frozen=True, kw_only=True, tag="server_ready"):
    """Server → supervisor: the door is open and a bot can be started."""

    url: str


# Supervisor and template


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all sessions, so that a worker knows it before it is leased."""

    ice_servers: tuple[IceServer, ...] = ()
    udp_ports: tuple[int, int] | None = None
    connect_timeout_s: float = 60.0
    handshake_timeout_s: float = 30.0
    client_lost_after_s: float = 7.0
    close_timeout_s: float = 5.0


class BootTemplate(Message, frozen=True, kw_only=True, tag="boot_template"):
    """Supervisor → template, first record: which bot, and how workers are made."""

    bot: str
    generation: int
    start_method: str
    supervisor_pid: int
    settings: SessionSettings = SessionSettings()
    version: int = PROTOCOL_VERSION


# Server and template


class ForkWorker(Message, frozen=True, kw_only=True, tag="fork_worker"):
    """Server → template: make a worker; its channel and its output pipe ride along."""

    worker_id: str
    rehearse: bool = True


class TemplateReady(Message, frozen=True, kw_only=True, tag="template_ready"):
    """Template → server: the bot file has been imported."""

    generation: int
    pid: int
    python: str
    threads: int
    rss_bytes: int
    preload_ms: float
    bot: str


class WorkerForked(Message, frozen=True, kw_only=True, tag="worker_forked"):
    """Template → server."""

    worker_id: str
    pid: int


class ForkFailed(Message, frozen=True, kw_only=True, tag="fork_failed"):
    """Template → server."""

    worker_id: str
    problem: str


# Server and worker


class WorkerReady(Message, frozen=True, kw_only=True, tag="worker_ready"):
    """Worker → server: booted, rehearsed, idle."""

    pid: int
    rehearsed_ms: float = 0.0
    version: int = PROTOCOL_VERSION


class StartBot(Message, frozen=True, kw_only=True, tag="start_bot"):
    """Server → worker: run the bot for this session. `body` is JSON text."""

    session_id: str
    kind: str
    body: bytes = b"{}"


class Offer(Message, frozen=True, kw_only=True, tag="offer"):
    """Server → worker: answer this SDP offer; `request` pairs the reply."""

    request: int
    sdp: str
    pc_id: str | None = None
    restart_pc: bool = False


class Candidates(Message, frozen=True, kw_only=True, tag="candidates"):
    """Server → worker: the client found these. No reply."""

    candidates: tuple[IceCandidate, ...]


class CloseSession(Message, frozen=True, kw_only=True, tag="close_session"):
    """Server → worker: end politely within the grace time, for this reason."""

    reason: str
    words: str
    grace_s: float


class Answered(Message, frozen=True, kw_only=True, tag="answered"):
    """Worker → server: the answer to an offer, or why there is none."""

    request: int
    sdp: str = ""
    pc_id: str = ""
    problem: str = ""
    is_peer_fault: bool = True


class Progress(Message, frozen=True, kw_only=True, tag="progress"):
    """Worker → server: a step was reached at `at` (seconds, CLOCK_MONOTONIC)."""

    step: str
    at: float


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Worker → server: the event loop turns, late by `lag_ms`."""

    lag_ms: float


class SessionEnded(Message, frozen=True, kw_only=True, tag="session_ended"):
    """Worker → server, last record: how it ended, in one word and in a few."""

    reason: str
    detail: str = ""


AnyMessage = (
    BootServer
    | TemplateStarted
    | TemplateExited
    | ChildExited
    | StopServer
    | ServerReady
    | BootTemplate
    | ForkWorker
    | TemplateReady
    | WorkerForked
    | ForkFailed
    | WorkerReady
    | StartBot
    | Offer
    | Candidates
    | CloseSession
    | Answered
    | Progress
    | Heartbeat
    | SessionEnded
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: AnyMessage) -> bytes:
    """Turn a message into one record."""
    return _encoder.encode(message)


def decode(record: bytes) -> AnyMessage:
    """Turn one record into a message.

    Raises:
        BadMessageError: The record is not msgpack, or not a message that this release knows.
    """
    try:
        return _decoder.decode(record)
    except msgspec.MsgspecError as error:
        raise BadMessageError("control", str(error)) from error

"""What a bot is told when it is started."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any


@dataclass
class RunnerArguments:
    """What every bot is told.

    Attributes:
        handle_sigint: The bot is to handle Ctrl-C itself.
        handle_sigterm: The bot is to handle SIGTERM itself.
        pipeline_idle_timeout_secs: How long a pipeline may be idle; None for no limit.
        body: The application's data for this session, as given to `POST /start`.
        call_data: What is known of the phone call, if it is one.
        session_id: The session's id.
        cli_args: The runner's parsed command line, if there is one.
    """

    handle_sigint: bool = field(init=False, default=False)
    handle_sigterm: bool = field(init=False, default=False)
    pipeline_idle_timeout_secs: float | None = field(init=False, default=300)
    cli_args: Any = field(init=False, default=None)
    _: KW_ONLY
    body: Any = field(default_factory=dict)
    call_data: Mapping[str, object] | None = None
    session_id: str | None = None


@dataclass
class SmallWebRTCRunnerArguments(RunnerArguments):
    """A browser is connecting, peer to peer.

    Attributes:
        webrtc_connection: Its connection, for `SmallWebRTCTransport`.
    """

    webrtc_connection: Any


@dataclass
class DailyRunnerArguments(RunnerArguments):
    """A room at Daily is waiting.

    Attributes:
        room_url: The room.
        token: What lets the bot in, if the room is private.
    """

    room_url: str
    token: str | None = None


@dataclass
class WebSocketRunnerArguments(RunnerArguments):
    """A phone, or a client of the WebSocket kind, has connected.

    Attributes:
        websocket: The accepted Starlette WebSocket.
        transport_type: "websocket" for a client that speaks protobuf frames, the provider's name
            for a phone, None while that is not known.
    """

    websocket: Any
    transport_type: str | None = None


@dataclass
class LiveKitRunnerArguments(RunnerArguments):
    """A LiveKit room is waiting.

    Attributes:
        room_name: The room.
        url: The LiveKit server.
        token: What lets the bot in.
    """

    room_name: str
    url: str
    token: str

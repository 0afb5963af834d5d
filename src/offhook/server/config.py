"""The one configuration: frozen, complete, and the source of flags, variables and documentation."""

import ipaddress
import json
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

import msgspec

from offhook.errors import UsageError
from offhook.protocol.control import IceServer, SessionSettings

ENVIRONMENT_PREFIX: Final = "OFFHOOK_"

Transport = Literal["webrtc"]
StartMethod = Literal["fork", "spawn"]
Isolation = Literal["process", "none"]


def setting(
    default: Any,  # noqa: ANN401 -- as `dataclasses.field` has it
    help_text: str,
    *,
    flags: tuple[str, ...] = (),
    metavar: str | None = None,
) -> Any:  # noqa: ANN401
    """Declare a field together with what its flag and its documentation say."""
    metadata = {"help": help_text, "flags": flags, "metavar": metavar}
    return field(default=default, metadata=metadata)


# ruff: noqa: RUF009 -- `setting` is `dataclasses.field` with the documentation of the flag


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that can be chosen when Offhook starts.

    Every field is a flag (`--max-sessions`) and a variable (`OFFHOOK_MAX_SESSIONS`).
    """

    host: str = setting("localhost", "Address to listen on.")
    port: int = setting(7860, "TCP port to listen on; 0 picks a free one.")
    transport: Transport | None = setting(
        None, "Serve only this transport.", flags=("-t", "--transport")
    )
    ice_servers: tuple[IceServer, ...] = setting(
        (),
        "STUN and TURN servers for both peers: URLs separated by commas, or JSON.",
        metavar="SERVERS",
    )
    udp_ports: tuple[int, int] | None = setting(
        None,
        "Range of UDP ports for WebRTC media, so that a firewall can be opened.",
        metavar="LOW-HIGH",
    )
    allowed_origins: tuple[str, ...] = setting(
        (),
        "Browser origins besides our own that may connect, separated by commas; * for all.",
        metavar="ORIGINS",
    )
    max_sessions: int = setting(100, "Sessions that may be live at once.")
    warm: int = setting(2, "Idle workers kept ready.")
    start_method: StartMethod = setting(
        "fork", "How a worker is made: forked off a template, or a fresh interpreter each."
    )
    isolation: Isolation = setting(
        "process", "A process for each session, or none: all in the server, for a debugger."
    )
    insecure: bool = setting(
        default=False, help_text="Listen on a public address although anybody can start bots."
    )
    node: str = setting("local", "Name of this machine in session ids.")
    verbose: int = setting(0, "Say more; twice, say everything.", flags=("-v", "--verbose"))
    start_timeout_s: float = setting(10.0, "Longest wait for a worker.")
    connect_timeout_s: float = setting(60.0, "Longest wait for the client's media.")
    handshake_timeout_s: float = setting(30.0, "Longest wait between client-ready and bot-ready.")
    client_lost_after_s: float = setting(7.0, "Silence after which a client counts as lost.")
    unresponsive_after_s: float = setting(30.0, "Silence after which a bot's process is ended.")
    close_timeout_s: float = setting(5.0, "Longest polite ending of a session, before force.")
    request_ttl_s: float = setting(60.0, "How long a /start waits for its offer.")

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            UsageError: A value is out of range, or the address is public without `insecure`.
        """
        if not 0 <= self.port <= 65535:  # noqa: PLR2004 -- a port is 16 bits
            raise UsageError(f"--port {self.port}: a port is a number from 0 to 65535")
        if self.max_sessions < 1:
            raise UsageError(f"--max-sessions {self.max_sessions}: at least one")
        if self.warm < 0:
            raise UsageError(f"--warm {self.warm}: none or more")
        for each in fields(self):
            if each.name.endswith("_s") and not 0 < getattr(self, each.name) < float("inf"):
                raise UsageError(f"--{each.name.replace('_', '-')}: a number of seconds above 0")
        if not self.insecure and not is_loopback(self.host):
            raise UsageError(
                f"--host {self.host} is open to other machines: anybody there could start bots",
                hint="Stay on localhost behind a proxy that asks who is there, or add --insecure.",
            )

    def session_settings(self) -> SessionSettings:
        """Return what every worker needs to know."""
        return SessionSettings(
            ice_servers=self.ice_servers,
            udp_ports=self.udp_ports,
            connect_timeout_s=self.connect_timeout_s,
            handshake_timeout_s=self.handshake_timeout_s,
            client_lost_after_s=self.client_lost_after_s,
            close_timeout_s=self.close_timeout_s,
        )

    def encode(self) -> bytes:
        """Turn the configuration into JSON, for another process."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Config":
        """Turn `encode()`'s result back."""
        return msgspec.json.decode(data, type=cls)


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_ice_servers(text: str) -> tuple[IceServer, ...]:
    """Read ICE servers: URLs separated by commas, a JSON object, or a JSON array of both.

    Raises:
        UsageError: It is none of these.
    """
    text = text.strip()
    try:
        found = json.loads(text) if text.startswith(("[", "{")) else text.split(",")
        entries = found if isinstance(found, list) else [found]
        servers = [
            {"urls": each.strip()} if isinstance(each, str) else each for each in entries if each
        ]
        result = tuple(msgspec.convert(each, IceServer, strict=True) for each in servers)
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"--ice-servers: {error}") from error
    for server in result:
        for url in (server.urls,) if isinstance(server.urls, str) else server.urls:
            if not url.startswith(("stun:", "stuns:", "turn:", "turns:")):
                raise UsageError(f"--ice-servers: {url!r} is no stun: or turn: URL")
    return result


def parse_udp_ports(text: str) -> tuple[int, int]:
    """Read `LOW-HIGH`.

    Raises:
        UsageError: It is no range of ports with room for at least one.
    """
    low, _, high = text.partition("-")
    try:
        ports = int(low), int(high)
    except ValueError:
        ports = 0, 0
    if not 1 <= ports[0] <= ports[1] <= 65535:  # noqa: PLR2004 -- a port is 16 bits
        raise UsageError(f"--udp-ports {text}: write LOW-HIGH, for example 40000-40100")
    return ports


def parse_list(text: str) -> tuple[str, ...]:
    """Read words separated by commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())

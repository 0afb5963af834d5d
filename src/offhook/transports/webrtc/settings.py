"""What one WebRTC connection is told when it is made."""

from dataclasses import dataclass

from offhook.protocol.control import IceServer


@dataclass(frozen=True, kw_only=True)
class WebRTCSettings:
    """All times in seconds.

    Attributes:
        ice_servers: The STUN and TURN servers to gather from; none means host candidates only.
        udp_ports: Lowest and highest port for media, or any free one.
        connect_timeout_s: How long the client may take until the first connection stands.
        client_lost_after_s: How long nothing at all may come before the client counts as lost.
        early_audio_s: How much of the client's audio is kept while nobody takes it.
        early_messages: How many messages are kept, each way, while nobody can take them.
        audio_out_s: How much of the bot's audio is kept before `send_audio` waits.
        gathering_timeout_s: How long an answer may wait for STUN and TURN servers.
        last_words_timeout_s: How long closing may wait for a client that is still connecting.
        drain_timeout_s: How long closing may wait for the last words to arrive.
    """

    ice_servers: tuple[IceServer, ...] = ()
    udp_ports: tuple[int, int] | None = None
    connect_timeout_s: float = 60.0
    client_lost_after_s: float = 7.0
    early_audio_s: float = 10.0
    early_messages: int = 50
    audio_out_s: float = 0.2
    gathering_timeout_s: float = 0.5
    last_words_timeout_s: float = 3.0
    drain_timeout_s: float = 0.3

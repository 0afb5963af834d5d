"""What a WebRTC engine has to do, in our words; nothing above it knows which library is below.

An engine is one peer connection: it answers offers, moves 20 ms pieces of PCM and text messages,
and tells its listener what happens. Pacing, queues, liveness and the session's end are not its
business. All calls come from, and all listener's methods are called in, the event loop.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from offhook.protocol.control import IceCandidate, Step


class AudioChunk(NamedTuple):
    """A piece of the client's audio, as 16-bit PCM; concealed means it was lost and invented."""

    pcm: bytes
    sample_rate_hz: int
    channels: int
    is_concealed: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineListener:
    """What an engine calls as things happen to its peer connection.

    Attributes:
        connected: Media and messages can flow.
        disconnected: The peer said goodbye, or the connection cannot be used any more.
        progress: A step of the connection's making was reached.
        heard: Something came from the peer.
        audio_received: Takes the next 20 ms of the client's audio, in order.
        channel_opened: Messages can be sent.
        channel_closed: The peer closed its data channel.
        message_received: Takes a text message.
    """

    connected: Callable[[], None]
    disconnected: Callable[[], None]
    progress: Callable[[Step], None]
    heard: Callable[[], None]
    audio_received: Callable[[AudioChunk], None]
    channel_opened: Callable[[], None]
    channel_closed: Callable[[], None]
    message_received: Callable[[str], None]


class Engine(Protocol):
    """One peer connection."""

    async def answer(self, sdp: str) -> str:
        """Answer an offer, or another one; the answer holds all our candidates.

        Raises:
            BadOfferError: The offer cannot be answered. The connection is as it was.
            UdpPortsExhaustedError: No port is free in the range.
        """
        ...

    async def add_ice_candidate(self, candidate: IceCandidate) -> None:
        """Take one more of the peer's candidates; one that is of no use is ignored."""
        ...

    def open_audio_in(self, *, sample_rate_hz: int, channels: int) -> None:
        """Deliver the client's audio from now on, first what was kept; the rate is Opus's own."""
        ...

    def open_audio_out(self, *, sample_rate_hz: int, channels: int) -> None:
        """Say which format `send_audio` will be given; the rate is Opus's own."""
        ...

    def send_audio(self, pcm: bytes, *, ticks: int, is_first: bool) -> None:
        """Send 20 ms now; `ticks` is their place on the 48 kHz clock, `is_first` after a pause."""
        ...

    def send_text(self, text: str) -> bool:
        """Send a message; false when the channel cannot take it."""
        ...

    async def drain(self) -> None:
        """Wait until the peer has all messages."""
        ...

    async def aclose(self) -> None:
        """Say goodbye and free the sockets. Safe to call twice."""
        ...

"""The audio codecs that an answer can choose, behind one interface."""

from dataclasses import dataclass
from typing import Final, Protocol

from offhook.transports.webrtc.g711 import G711Decoder, G711Encoder
from offhook.transports.webrtc.opus import Application, OpusDecoder, OpusEncoder
from offhook.transports.webrtc.rtp import opus_ticks

OPUS: Final = "opus"
PREFERENCE: Final = (OPUS, "pcmu", "pcma")
LONGEST_G711_TICKS: Final = 1600


class Encoder(Protocol):
    """Turns 20 ms of PCM into one packet."""

    def encode(self, pcm: bytes) -> bytes: ...


@dataclass(frozen=True)
class Codec:
    """One negotiated codec; the name is lower case."""

    name: str
    payload_type: int
    clock_hz: int

    def ticks(self, payload: bytes) -> int:
        """Return how long a packet plays; 0 when it is unusable."""
        if self.name == OPUS:
            return opus_ticks(payload)
        return len(payload) if len(payload) <= LONGEST_G711_TICKS else 0

    def decoder(
        self, *, sample_rate_hz: int, channels: int
    ) -> tuple[OpusDecoder | G711Decoder, int, int]:
        """Make a decoder; with the rate and the channels that it gives."""
        match self.name:
            case "opus":
                decoder = OpusDecoder(sample_rate_hz=sample_rate_hz, channels=channels)
                return decoder, sample_rate_hz, channels
            case "pcmu":
                return G711Decoder("PCMU"), self.clock_hz, 1
            case _:
                return G711Decoder("PCMA"), self.clock_hz, 1

    def encoder(self, *, sample_rate_hz: int, channels: int, application: Application) -> Encoder:
        """Make an encoder that takes this format."""
        match self.name:
            case "opus":
                return OpusEncoder(
                    sample_rate_hz=sample_rate_hz, channels=channels, application=application
                )
            case "pcmu":
                return G711Encoder("PCMU", sample_rate_hz=sample_rate_hz, channels=channels)
            case _:
                return G711Encoder("PCMA", sample_rate_hz=sample_rate_hz, channels=channels)

"""From 20 ms pieces of PCM to RTP packets."""

import secrets
from typing import Final

from offhook.transports.webrtc import rtp
from offhook.transports.webrtc.codec import Codec, Encoder
from offhook.transports.webrtc.opus import Application

LOSS_THAT_MATTERS_PERCENT: Final = 2
REPORTS_UNTIL_CALM: Final = 10


class OutboundAudio:
    """One stream: sequence numbers, timestamps and the encoder's mode."""

    def __init__(self, codec: Codec, *, ssrc: int) -> None:
        self._codec = codec
        self.ssrc = ssrc
        # The lower half, so that the first wrap-around is far: SRTP counts them from packets seen.
        self._sequence = secrets.randbelow(1 << 15)
        self._origin = secrets.randbelow(1 << 32)
        self._encoder: Encoder | None = None
        self._format = (0, 0)
        self._application = Application.LOW_DELAY
        self._calm_reports = 0
        self.timestamp = self._origin
        self.packets = 0
        self.octets = 0

    def open(self, *, sample_rate_hz: int, channels: int) -> None:
        """Say what `packet` will be given."""
        self._format = (sample_rate_hz, channels)
        self._encoder = self._codec.encoder(
            sample_rate_hz=sample_rate_hz, channels=channels, application=self._application
        )

    def packet(self, pcm: bytes, *, ticks: int, is_first: bool) -> bytes | None:
        """Encode 20 ms; `ticks` is their place on a 48 kHz clock."""
        if self._encoder is None:
            return None
        payload = self._encoder.encode(pcm)
        if not payload:
            return None  # a resampler's first frame
        self.timestamp = self._origin + ticks * self._codec.clock_hz // rtp.OPUS_CLOCK_HZ
        self._sequence += 1
        self.packets += 1
        self.octets += len(payload)
        return rtp.build(
            payload,
            payload_type=self._codec.payload_type,
            sequence=self._sequence,
            timestamp=self.timestamp,
            ssrc=self.ssrc,
            is_marked=is_first,
        )

    def loss_reported(self, percent: float) -> None:
        """Change to the mode with in-band copies while the peer loses packets, and back."""
        if percent >= LOSS_THAT_MATTERS_PERCENT:
            self._calm_reports = 0
            self._change(Application.SPEECH)
        elif self._application is Application.SPEECH:
            self._calm_reports += 1
            if self._calm_reports >= REPORTS_UNTIL_CALM:
                self._change(Application.LOW_DELAY)

    def _change(self, application: Application) -> None:
        if application is self._application:
            return
        self._application = application
        rate, channels = self._format
        if self._encoder is not None:
            self.open(sample_rate_hz=rate, channels=channels)

"""From RTP packets to 20 ms pieces of PCM: jitter buffer, decoder and the timer between them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from offhook.transports.webrtc import jitter
from offhook.transports.webrtc.codec import Codec
from offhook.transports.webrtc.engine import AudioChunk
from offhook.transports.webrtc.jitter import JitterBuffer, Playout
from offhook.transports.webrtc.opus import OpusError
from offhook.transports.webrtc.pcm import Rechunker, fade
from offhook.transports.webrtc.rtp import FRAMES_PER_S, RtpPacket


class Decoder(Protocol):
    """Turns packets, and the lack of them, into PCM."""

    def decode(self, payload: bytes) -> bytes: ...
    def recover(self, payload: bytes, samples: int) -> bytes: ...
    def conceal(self, samples: int) -> bytes: ...
    def reset(self) -> None: ...


class InboundAudio:
    """One stream. Nothing is decoded before `open`; until then packets are kept, bounded."""

    def __init__(
        self, codec: Codec, *, deliver: Callable[[AudioChunk], None], kept_s: float
    ) -> None:
        self._codec = codec
        self._deliver = deliver
        self._buffer = JitterBuffer(clock_hz=codec.clock_hz)
        self._kept: deque[Playout] = deque(maxlen=max(int(kept_s * FRAMES_PER_S), 1))
        self._timer: asyncio.TimerHandle | None = None
        self._decoder: Decoder | None = None
        self._decoder_rate_hz = 0
        self._chunks = Rechunker(from_rate_hz=FRAMES_PER_S, to_rate_hz=FRAMES_PER_S)
        self._format = (0, 0)
        self._silence_width = 2

    @property
    def counts(self) -> jitter.Counts:
        """What happened so far, in packets."""
        return self._buffer.counts

    def open(self, *, sample_rate_hz: int, channels: int) -> None:
        """Decode to this format from now on, first what was kept."""
        decoder, rate, made_channels = self._codec.decoder(
            sample_rate_hz=sample_rate_hz, channels=channels
        )
        self._decoder, self._decoder_rate_hz = decoder, rate
        self._chunks = Rechunker(
            from_rate_hz=rate,
            to_rate_hz=sample_rate_hz,
            from_channels=made_channels,
            to_channels=channels,
        )
        self._format = (sample_rate_hz, channels)
        self._silence_width = 2 * made_channels
        while self._kept:
            self._play(decoder, self._kept.popleft())

    def receive(self, packet: RtpPacket, *, now: float) -> None:
        """Take one packet."""
        ticks = self._codec.ticks(packet.payload)
        if ticks == 0:
            return
        self._take(
            self._buffer.put(
                jitter.Packet(
                    packet.sequence, packet.timestamp, packet.ssrc, ticks, packet.payload
                ),
                now=now,
            )
        )
        self._rearm()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (deadline := self._buffer.deadline) is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._take(self._buffer.tick(now=asyncio.get_running_loop().time()))
        self._rearm()

    def _take(self, playouts: list[Playout]) -> None:
        decoder = self._decoder
        if decoder is None:
            self._kept.extend(playouts)
            return
        for playout in playouts:
            self._play(decoder, playout)

    def _play(self, decoder: Decoder, playout: Playout) -> None:
        pcm, is_concealed = b"", True
        match playout:
            case jitter.Decode(payload, ticks):
                try:
                    pcm, is_concealed = decoder.decode(payload), False
                except OpusError:
                    pcm = self._conceal(decoder, ticks)
            case jitter.Recover(payload, ticks):
                pcm = self._recover(decoder, payload, ticks)
            case jitter.Conceal(ticks, gain_from, gain_to):
                pcm = fade(self._conceal(decoder, ticks), gain_from=gain_from, gain_to=gain_to)
            case jitter.Silence(ticks):
                pcm = bytes(self._samples(ticks) * self._silence_width)
            case jitter.Restart():
                decoder.reset()
                return
        rate, channels = self._format
        for piece in self._chunks.push(pcm):
            self._deliver(AudioChunk(piece, rate, channels, is_concealed))

    def _samples(self, ticks: int) -> int:
        return ticks * self._decoder_rate_hz // self._codec.clock_hz

    def _conceal(self, decoder: Decoder, ticks: int) -> bytes:
        samples = self._samples(ticks)
        try:
            return decoder.conceal(samples)
        except OpusError:  # a length that Opus does not have
            return bytes(samples * self._silence_width)

    def _recover(self, decoder: Decoder, payload: bytes, ticks: int) -> bytes:
        try:
            return decoder.recover(payload, self._samples(ticks))
        except OpusError:
            return self._conceal(decoder, ticks)

"""From packets to pieces of 20 ms."""

import asyncio

import anyio
import pytest

from offhook.transports.webrtc.codec import Codec
from offhook.transports.webrtc.engine import AudioChunk
from offhook.transports.webrtc.inbound import InboundAudio
from offhook.transports.webrtc.rtp import RtpPacket

from .peers import encoded, loudness, tone

OPUS = Codec("opus", 111, 48_000)


class Receiver:
    """An inbound stream and what it delivered."""

    def __init__(self, codec: Codec = OPUS, *, kept_s: float = 10.0) -> None:
        self.chunks: list[AudioChunk] = []
        self.came = anyio.Event()
        self.wanted = 0
        self.audio = InboundAudio(codec, deliver=self.take, kept_s=kept_s)

    def take(self, chunk: AudioChunk) -> None:
        self.chunks.append(chunk)
        if len(self.chunks) == self.wanted:
            self.came.set()

    def receive(self, payload: bytes, number: int, *, ssrc: int = 1, now: float | None = None):
        at = asyncio.get_running_loop().time() if now is None else now
        self.audio.receive(RtpPacket(111, number, number * 960, ssrc, payload), now=at)


@pytest.fixture
async def receiver():
    receiver = Receiver()
    yield receiver
    receiver.audio.close()


async def test_packets_become_pieces_at_the_rate_that_was_asked(receiver):
    receiver.audio.open(sample_rate_hz=24_000, channels=1)
    for number, payload in enumerate(encoded(tone(frames=10))):
        receiver.receive(payload, number)
    assert len(receiver.chunks) == 10
    assert {(len(c.pcm), c.sample_rate_hz, c.channels) for c in receiver.chunks} == {
        (960, 24_000, 1)
    }
    assert loudness(receiver.chunks[-1].pcm) == pytest.approx(loudness(tone(frames=1)), rel=0.25)


async def test_what_comes_before_a_rate_is_known_is_kept_and_bounded():
    receiver = Receiver(kept_s=1.0)
    for number, payload in enumerate(encoded(tone(frames=70))):
        receiver.receive(payload, number)
    assert receiver.chunks == []
    receiver.audio.open(sample_rate_hz=16_000, channels=1)
    assert len(receiver.chunks) == 50
    receiver.audio.close()


async def test_when_packets_stay_away_the_stream_goes_on_by_itself(receiver):
    receiver.audio.open(sample_rate_hz=16_000, channels=1)
    for number, payload in enumerate(encoded(tone(frames=10))):
        receiver.receive(payload, number)
    receiver.wanted = 20
    with anyio.fail_after(2):
        await receiver.came.wait()
    invented = receiver.chunks[10:]
    assert all(chunk.is_concealed for chunk in invented)
    assert loudness(invented[0].pcm) > 1_000
    assert loudness(invented[-1].pcm) == 0


async def test_a_lost_packet_is_replaced_and_marked(receiver):
    receiver.audio.open(sample_rate_hz=16_000, channels=1)
    now = asyncio.get_running_loop().time()
    for number, payload in enumerate(encoded(tone(frames=20))):
        if number != 10:
            receiver.receive(payload, number, now=now + number * 0.02)
    assert [chunk.is_concealed for chunk in receiver.chunks] == [n == 10 for n in range(20)]
    assert loudness(receiver.chunks[10].pcm) > 4_000
    assert receiver.audio.counts.lost == 1


async def test_a_broken_packet_is_concealed(receiver):
    receiver.audio.open(sample_rate_hz=16_000, channels=1)
    packets = encoded(tone(frames=10))
    packets[5] = b"\x0b\x41\xff"  # says that it holds a frame, with padding that it lacks
    for number, payload in enumerate(packets):
        receiver.receive(payload, number)
    assert len(receiver.chunks) == 10
    assert receiver.chunks[5].is_concealed


async def test_what_is_no_packet_is_ignored(receiver):
    receiver.audio.open(sample_rate_hz=16_000, channels=1)
    receiver.receive(b"", 0)
    assert receiver.chunks == []


async def test_another_source_is_heard_after_a_fresh_start(receiver):
    receiver.audio.open(sample_rate_hz=16_000, channels=1)
    for number, payload in enumerate(encoded(tone(frames=5))):
        receiver.receive(payload, number)
    for number, payload in enumerate(encoded(tone(frames=5))):
        receiver.receive(payload, 9_000 + number, ssrc=2)
    assert [chunk.is_concealed for chunk in receiver.chunks] == [False] * 10


async def test_a_pause_of_odd_length_is_bridged(receiver):
    receiver.audio.open(sample_rate_hz=16_000, channels=1)
    now = asyncio.get_running_loop().time()
    first, second = encoded(tone(frames=2))
    receiver.audio.receive(RtpPacket(111, 1, 0, 1, first), now=now)
    receiver.audio.receive(RtpPacket(111, 2, 960 + 1000, 1, second), now=now + 0.04)
    assert len(receiver.chunks) == 3


async def test_g711_is_resampled():
    receiver = Receiver(Codec("pcmu", 0, 8_000))
    receiver.audio.open(sample_rate_hz=16_000, channels=1)
    for number in range(10):
        receiver.audio.receive(
            RtpPacket(0, number, number * 160, 1, b"\x80" * 160), now=number / 50
        )
    assert len(receiver.chunks) >= 9
    assert {len(chunk.pcm) for chunk in receiver.chunks} == {640}
    receiver.audio.close()

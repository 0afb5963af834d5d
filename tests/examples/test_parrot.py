import importlib.util
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import numpy as np
import pytest
from tests.kit.fakes import FakeConnection
from tests.transports.webrtc.peers import Client, encoded

from offhook.kit import OutputAudio, SmallWebRTCRunnerArguments, resample
from offhook.services import espeak
from offhook.services.espeak import synthesize
from offhook.transports.webrtc import SmallWebRTCConnection, WebRTCSettings
from offhook.transports.webrtc.opus import OpusDecoder

pytestmark = pytest.mark.skipif(
    not espeak.is_installed(), reason="the demo extra (espeakng-loader) is not installed"
)

BOT = Path(__file__).parents[2] / "examples" / "parrot" / "bot.py"
RATE_HZ = 16000


@pytest.fixture(scope="module")
def parrot():
    spec = importlib.util.spec_from_file_location("parrot_bot", BOT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["parrot_bot"] = module
    spec.loader.exec_module(module)
    module.prewarm()
    return module


def speech(text: str) -> bytes:
    pcm, rate_hz = synthesize(text)
    return resample(pcm, from_hz=rate_hz, to_hz=RATE_HZ)


def silence(seconds: float) -> bytes:
    return bytes(2 * int(RATE_HZ * seconds))


@pytest.fixture(scope="module")
def question() -> bytes:
    return speech("Pretty Polly, can you hear me?")


@pytest.fixture(scope="module")
def story() -> bytes:
    return speech("Once upon a time there was a parrot. " * 15)


def likeness(heard: bytes, said: bytes) -> float:
    """Find `said` in `heard`, wherever it begins; 1 means that it is there unchanged."""
    long, short = (np.frombuffer(pcm, "<i2").astype(float) for pcm in (heard, said))
    size = len(long) + len(short)
    cross = np.fft.irfft(np.fft.rfft(long, size) * np.conj(np.fft.rfft(short, size)), size)
    at = int(cross[: len(long)].argmax())
    energy = (long[at : at + len(short)] ** 2).sum()
    return float(cross[at] / np.sqrt(max(energy, 1) * (short**2).sum()))


def whole_frames(pcm: bytes) -> bytes:
    return pcm + bytes(-len(pcm) % 640)


class Caller:
    """Somebody who calls the parrot over a connection that the test drives."""

    def __init__(self) -> None:
        self.connection = FakeConnection(limit_bytes=10_000_000)

    def speaks(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), 640):
            self.connection.client_speaks(pcm[start : start + 640])

    async def hears(self, seconds: float) -> bytes:
        enough = 48_000 * (seconds - 0.01)  # a resampler holds back a little
        await self.connection.changed.until(lambda: len(self.connection.queued) >= enough)
        return resample(bytes(self.connection.queued), from_hz=24000, to_hz=RATE_HZ)

    async def is_told(self, kind: str) -> dict:
        await self.connection.changed.until(lambda: kind in self.types)
        return self.connection.messages[self.types.index(kind)]

    @property
    def types(self) -> list[object]:
        return [message["type"] for message in self.connection.messages]


@asynccontextmanager
async def calling(parrot, *, greeted: bool = True):
    caller = Caller()
    arguments = SmallWebRTCRunnerArguments(caller.connection)
    async with anyio.create_task_group() as group:
        group.start_soon(parrot.bot, arguments)
        await caller.hears(parrot.greeting().duration_s)
        if greeted:
            caller.connection.play()
        yield caller
        await caller.connection.client_leaves()
    caller.connection.close()


async def test_it_greets_in_a_voice_that_was_made_beforehand(parrot):
    greeting: OutputAudio = parrot.greeting()
    async with calling(parrot, greeted=False) as caller:
        heard = await caller.hears(greeting.duration_s)
    said = resample(greeting.pcm, from_hz=greeting.sample_rate_hz, to_hz=RATE_HZ)
    assert likeness(heard, said) > 0.99


async def test_it_repeats_what_it_heard_from_the_first_syllable_to_the_last(parrot, question):
    async with calling(parrot) as caller:
        caller.speaks(silence(1) + question + silence(1))
        told = await caller.is_told("server-message")
        duration_s = len(question) / (2 * RATE_HZ)
        heard = await caller.hears(duration_s)
    assert likeness(heard, question) > 0.95
    assert told["data"]["type"] == "parrot"
    said_s = float(told["data"]["text"].split()[2])
    assert duration_s - 0.3 < said_s < duration_s + 1.0


async def test_it_does_not_repeat_what_it_has_repeated(parrot, question):
    other = await anyio.to_thread.run_sync(speech, "Another sentence follows.")
    async with calling(parrot) as caller:
        caller.speaks(question + silence(1))
        await caller.hears(1)
        caller.connection.play()
        caller.speaks(other + silence(1))
        heard = await caller.hears(len(other) / (2 * RATE_HZ) * 0.9)
    assert likeness(heard, other) > 0.9
    assert likeness(heard, question) < 0.5


async def test_it_falls_silent_when_it_is_interrupted(parrot, question):
    async with calling(parrot, greeted=False) as caller:
        caller.connection.play(4800)
        await caller.is_told("bot-started-speaking")
        assert len(caller.connection.queued) > 48_000
        caller.speaks(question)
        await caller.is_told("bot-interrupted")
        assert not caller.connection.queued
        caller.speaks(silence(1))
        await caller.is_told("user-stopped-speaking")
        assert likeness(await caller.hears(1), question) > 0.95
    assert caller.types[:4] == [
        "bot-transcription",
        "bot-started-speaking",
        "user-started-speaking",
        "bot-interrupted",
    ]


async def test_of_a_long_story_it_remembers_the_end(parrot, story):
    assert len(story) / (2 * RATE_HZ) > parrot.LONGEST_S + 5
    async with calling(parrot) as caller:
        caller.speaks(story + silence(1))
        heard = await caller.hears(parrot.LONGEST_S - 2)
    assert len(heard) / (2 * RATE_HZ) <= parrot.LONGEST_S
    assert likeness(heard, story[-RATE_HZ * 2 * 3 :]) > 0.9


async def test_it_says_what_was_typed(parrot):
    message = {"label": "rtvi-ai", "type": "send-text", "id": "c1", "data": {"content": "banana"}}
    pcm, rate_hz = await anyio.to_thread.run_sync(synthesize, "You wrote: banana")
    said = resample(pcm, from_hz=rate_hz, to_hz=RATE_HZ)
    async with calling(parrot) as caller:
        await caller.connection.client_says(message)
        heard = await caller.hears(len(said) / (2 * RATE_HZ))
    assert likeness(heard, said) > 0.95


async def test_it_leaves_with_its_caller(parrot):
    with anyio.fail_after(5):
        async with calling(parrot):
            pass


@pytest.mark.timeout(30)
async def test_it_talks_with_a_real_client(parrot, question):
    connection, client = SmallWebRTCConnection(settings=WebRTCSettings()), Client()
    ready = {"label": "rtvi-ai", "type": "client-ready", "id": "c1", "data": {"version": "2.1.0"}}
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run)
        group.start_soon(parrot.bot, SmallWebRTCRunnerArguments(connection))
        await client.call(connection)
        client.channel.send(json.dumps(ready))
        await client.until(lambda: len(client.received) > 50)
        await client.talk(encoded(whole_frames(question) + silence(1.5)))
        interrupted_at = [message["type"] for message in client.messages].index("bot-interrupted")
        await client.until(
            lambda: (
                "bot-stopped-speaking"
                in [message["type"] for message in client.messages[interrupted_at + 3 :]]
            ),
            timeout_s=10,
        )
        await client.aclose()
        await connection.aclose()
    decoder = OpusDecoder(sample_rate_hz=RATE_HZ)
    heard = b"".join(decoder.decode(packet.payload) for _, packet in client.received)
    assert likeness(heard, question) > 0.8
    types = [message["type"] for message in client.messages]
    assert "bot-ready" in types
    assert [kind for kind in types if kind not in {"bot-ready", "signalling"}] == [
        "bot-transcription",
        "bot-started-speaking",
        "user-started-speaking",
        "bot-interrupted",
        "bot-stopped-speaking",
        "user-stopped-speaking",
        "server-message",
        "bot-started-speaking",
        "bot-stopped-speaking",
    ]

import random

import anyio
import numpy as np
import pytest
from tests.kit.fakes import FakeTransport, Recorder, running

from offhook.kit import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    Cancel,
    CustomFrame,
    End,
    InputAudio,
    InputMessage,
    InputTransport,
    Interruption,
    OutputAudio,
    OutputMessage,
    OutputTransport,
    PipelineParams,
    Start,
    TransportParams,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    VADEvent,
)
from offhook.kit.events import Events
from offhook.kit.transport import QUEUE_LIMIT_S

RATE_HZ = 24000


class ScriptedVAD:
    """Takes the first byte of a piece for its verdict."""

    def analyze(self, pcm, *, sample_rate_hz, channels):
        return {1: [VADEvent.SPEECH_STARTED], 2: [VADEvent.SPEECH_STOPPED]}.get(pcm[0], [])


def audio(seconds: float, *, value: int = 0, rate_hz: int = RATE_HZ) -> OutputAudio:
    return OutputAudio(np.full(int(seconds * rate_hz), value, "<i2").tobytes(), rate_hz)


def ends(transport: FakeTransport, **params) -> tuple[InputTransport, OutputTransport]:
    wanted = TransportParams(**{"audio_in_enabled": True, "audio_out_enabled": True, **params})
    events = Events(transport, ())
    return InputTransport(transport, wanted, events), OutputTransport(transport, wanted, events)


# Coming in


async def test_media_is_listened_for_when_everybody_is_ready():
    transport, recorder = FakeTransport(), Recorder()

    class LooksBack(Recorder):
        async def process_frame(self, frame, direction):
            if isinstance(frame, Start):
                assert not transport.is_receiving
            await super().process_frame(frame, direction)

    source, sink = ends(transport)
    async with running(source, LooksBack(), sink, recorder):
        await transport.changed.until(lambda: transport.is_receiving)


async def test_what_arrives_goes_down_the_pipeline():
    transport, recorder = FakeTransport(), Recorder()
    source, sink = ends(transport)
    arriving = [InputAudio(bytes(640), 16000), InputMessage({"a": 1}), BotStartedSpeaking()]
    async with running(source, recorder, sink, enable_rtvi=False):
        transport.arrive(*arriving)
        await recorder.until(BotStartedSpeaking)
    assert recorder.frames[1:4] == arriving


async def test_speech_makes_turns_and_the_audio_comes_before_the_verdict_on_it():
    transport, recorder = FakeTransport(), Recorder()
    source, sink = ends(transport, vad_analyzer=ScriptedVAD())
    pieces = [InputAudio(bytes([verdict]) * 640, 16000) for verdict in (0, 1, 0, 2)]
    async with running(source, recorder, sink, enable_rtvi=False):
        transport.arrive(*pieces)
        await recorder.until(UserStoppedSpeaking)
    assert recorder.frames[1:8] == [
        *pieces[:2],
        UserStartedSpeaking(),
        Interruption(),
        *pieces[2:],
        UserStoppedSpeaking(),
    ]


async def test_interruptions_can_be_switched_off_for_a_pipeline():
    transport, recorder = FakeTransport(), Recorder()
    source, sink = ends(transport, vad_analyzer=ScriptedVAD())
    params = PipelineParams(allow_interruptions=False)
    async with running(source, recorder, sink, params=params):
        transport.arrive(InputAudio(b"\1\1", 16000), InputAudio(b"\2\2", 16000))
        await recorder.until(UserStoppedSpeaking)
    assert recorder.of(Interruption) == []


async def test_turns_can_be_replaced():
    class Impolite:
        def handle(self, event):
            return (CustomFrame(),) if event is BotStartedSpeaking() or event else ()

    transport, recorder = FakeTransport(), Recorder()
    source, sink = ends(transport, vad_analyzer=ScriptedVAD(), turns=Impolite())
    async with running(source, recorder, sink):
        transport.arrive(InputAudio(b"\1\1", 16000), BotStartedSpeaking())
        await recorder.until(CustomFrame, count=2)
    assert recorder.of(UserStartedSpeaking, Interruption) == []


async def test_a_bot_that_does_not_notice_that_its_client_has_gone_is_ended():
    transport, recorder = FakeTransport(), Recorder()
    source, sink = ends(transport, client_gone_timeout_s=0.01)
    async with running(source, recorder, sink):
        transport.leave()
        await recorder.until(Cancel)
    assert recorder.frames[-1] == Cancel("client gone")


# Going out


async def test_what_the_bot_says_is_sent_in_order_and_complete():
    transport = FakeTransport()
    source, sink = ends(transport)
    said = [audio(0.25, value=1), audio(0.02, value=2), audio(1, value=3)]
    async with running(source, sink) as task:
        await task.queue_frames(said)
        wanted = b"".join(frame.pcm for frame in said)
        await transport.changed.until(lambda: len(transport.audio) == len(wanted))
    assert transport.audio == wanted


async def test_audio_of_another_rate_is_converted_as_one_stream():
    transport = FakeTransport()
    source, sink = ends(transport, audio_out_channels=2)
    sine = 8000 * np.sin(np.arange(22050) * 2 * np.pi * 441 / 22050)
    pcm = sine.astype("<i2").tobytes()
    async with running(source, sink) as task:
        pieces = [pcm[start : start + 700] for start in range(0, len(pcm), 700)]
        await task.queue_frames([OutputAudio(piece, 22050) for piece in pieces])
        await task.end()
        await transport.changed.until(lambda: transport.closed)
    heard = np.frombuffer(transport.audio, "<i2").reshape(-1, 2)
    assert len(heard) == 24000
    wanted = 8000 * np.sin(np.arange(24000) * 2 * np.pi * 441 / 24000)
    assert np.abs(heard[500:-500, 0] - wanted[500:-500]).max() < 80
    assert np.array_equal(heard[:, 0], heard[:, 1])


async def test_messages_do_not_wait_for_audio():
    transport = FakeTransport(plays_at_once=False)
    source, sink = ends(transport)
    async with running(source, sink) as task:
        await task.queue_frames([audio(5), OutputMessage({"a": 1})])
        await transport.changed.until(lambda: transport.messages)
    assert transport.messages == [{"a": 1}]


async def test_saying_much_does_not_keep_the_speaker_waiting():
    transport = FakeTransport(plays_at_once=False)
    source, sink = ends(transport)
    async with running(source, sink):
        with anyio.fail_after(1):
            await sink.process_frame(audio(1), direction=None)
            await transport.changed.until(lambda: transport.queued)  # this one is on its way
            await sink.process_frame(audio(QUEUE_LIMIT_S / 2), direction=None)
            with anyio.move_on_after(0.05) as too_much:
                await sink.process_frame(audio(QUEUE_LIMIT_S), direction=None)
    assert too_much.cancelled_caught


async def test_an_interruption_silences_what_is_queued_and_what_is_on_its_way():
    transport, recorder = FakeTransport(plays_at_once=False), Recorder()
    source, sink = ends(transport)
    async with running(source, sink, recorder) as task:
        await task.queue_frame(audio(5, value=1))
        await transport.changed.until(lambda: transport.queued)
        transport.play()
        await transport.changed.until(lambda: transport.queued)
        await task.queue_frame(Interruption())
        assert transport.flushed
        await task.queue_frame(audio(0.1, value=2))
        await transport.changed.until(lambda: transport.queued)
        transport.play()
    said = np.frombuffer(transport.audio, "<i2")
    assert list(np.unique(said)) == [1, 2]
    assert len(said) == 2 * 2400
    assert recorder.of(Interruption) == [Interruption()]


async def test_an_interruption_frees_a_speaker_that_waits_for_room():
    transport = FakeTransport(plays_at_once=False)
    source, sink = ends(transport)
    async with running(source, sink) as task:
        await sink.process_frame(audio(QUEUE_LIMIT_S, value=1), direction=None)
        await sink.process_frame(audio(QUEUE_LIMIT_S, value=1), direction=None)
        async with anyio.create_task_group() as group:
            group.start_soon(sink.process_frame, audio(1, value=1), None)
            await anyio.wait_all_tasks_blocked()
            await task.queue_frame(Interruption())
        await anyio.wait_all_tasks_blocked()
        assert transport.queued == []


@pytest.mark.parametrize("seed", range(8))
async def test_interruptions_lose_no_later_audio_and_play_no_stale_audio(seed):
    """Speak in numbers, interrupt at random; after each interruption only later numbers play."""
    chance = random.Random(seed)
    transport = FakeTransport(plays_at_once=False)
    source, sink = ends(transport)
    async with running(source, sink) as task:
        number, played = 0, 0
        for _ in range(40):
            match chance.choice("sssppiw"):
                case "s":
                    number += 1
                    await task.queue_frame(audio(chance.choice([0.02, 0.3]), value=number))
                case "p":
                    transport.play()
                case "w":
                    await anyio.wait_all_tasks_blocked()
                case _:
                    await task.queue_frame(Interruption())
                    stale, played = number, len(transport.audio)
                    await anyio.wait_all_tasks_blocked()
                    transport.play(1000)
                    later = np.frombuffer(transport.audio[played:], "<i2")
                    assert (later > stale).all()
        await task.queue_frame(Interruption())
        played = len(transport.audio)
        await task.queue_frame(audio(0.3, value=number + 1))
        for _ in range(10):
            await anyio.wait_all_tasks_blocked()
            transport.play()
        last = np.frombuffer(transport.audio[played:], "<i2")
        assert (last == number + 1).all()
        assert len(last) == 7200


async def test_the_end_waits_until_everything_has_been_played():
    transport, recorder = FakeTransport(plays_at_once=False), Recorder()
    source, sink = ends(transport)
    async with running(source, sink, recorder) as task:
        await task.queue_frames([audio(0.15)])
        await task.end()
        await transport.changed.until(lambda: transport.queued)
        transport.play()
        await transport.changed.until(lambda: transport.queued)
        assert recorder.of(End) == []
        transport.play()
        await recorder.until(End)
    assert len(transport.audio) == 2 * int(0.15 * RATE_HZ)
    assert transport.closed


async def test_a_bot_without_a_voice_says_nothing():
    transport = FakeTransport()
    source, sink = ends(transport, audio_out_enabled=False)
    async with running(source, sink) as task:
        await task.queue_frames([audio(1), OutputMessage({})])
        await transport.changed.until(lambda: transport.messages)
    assert transport.audio == b""


async def test_frames_that_are_not_for_the_client_pass_on():
    transport, recorder = FakeTransport(), Recorder()
    source, sink = ends(transport)
    async with running(source, sink, recorder) as task:
        await task.queue_frame(CustomFrame())
        transport.arrive(BotStartedSpeaking(), BotStoppedSpeaking())
        await recorder.until(BotStoppedSpeaking)
    assert recorder.of(CustomFrame, BotStartedSpeaking) == [CustomFrame(), BotStartedSpeaking()]

"""What a bot may rely on, whatever carries its conversation. Every transport passes all of it."""

import anyio
import pytest
from tests.conformance.line import (
    CALLER_RATE_HZ,
    OpenLine,
    loudest_hz,
    seconds_of,
    sound_of,
    talking,
    tone,
    wanted,
)
from tests.conformance.webrtc import webrtc
from tests.kit.fakes import Echo, Recorder

from offhook.errors import UsageError
from offhook.kit import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    Cancel,
    InputAudio,
    InputMessage,
    Interruption,
    OutputAudio,
    OutputMessage,
    Start,
)

TRANSPORTS: dict[str, OpenLine] = {"webrtc": webrtc}
CLOSES_WITHIN_S = 5.0


@pytest.fixture(params=TRANSPORTS.values(), ids=TRANSPORTS)
async def line(request, anyio_backend):
    async with request.param() as line:
        yield line


def told_by(transport) -> list[tuple[str, object]]:
    """Keep what the transport's events say, in their order."""
    told: list[tuple[str, object]] = []

    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport, client):
        told.append(("connected", client))

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport, client):
        told.append(("disconnected", client))

    @transport.event_handler("on_app_message")
    async def on_app_message(transport, message, sender):
        told.append(("message", message["type"]))

    return told


def speech(hz: float, *, seconds: float) -> OutputAudio:
    return OutputAudio(tone(hz, seconds=seconds), 24_000)


def numbers(messages) -> list[object]:
    return [message["n"] for message in messages if message.get("type") == "count"]


# The client comes


async def test_a_client_is_announced_once_and_before_what_it_sent_early(line):
    recorder, transport = Recorder(), line.transport(wanted())
    told = told_by(transport)
    await line.send({"type": "early"})
    async with talking(transport, recorder):
        await recorder.until(InputMessage)
        await line.send({"type": "later"})
        await recorder.until(InputMessage, count=2)
    assert [kind for kind, _ in told] == ["connected", "message", "message"]
    assert [fact for _, fact in told[1:]] == ["early", "later"]


async def test_what_a_client_said_before_the_bot_listened_is_heard(line):
    recorder = Recorder()
    await line.talk(tone(440, seconds=0.3, rate_hz=CALLER_RATE_HZ))
    async with talking(line.transport(wanted()), recorder):
        await recorder.until(InputAudio, count=14)
    heard = sound_of(b"".join(frame.pcm for frame in recorder.of(InputAudio)), rate_hz=16_000)
    assert seconds_of(heard, rate_hz=16_000) >= 0.24
    assert loudest_hz(heard, rate_hz=16_000) == pytest.approx(440, abs=6)


async def test_a_bot_can_greet_as_soon_as_its_client_is_announced(line):
    transport = line.transport(wanted())
    async with talking(transport) as task:

        @transport.event_handler("on_client_connected")
        async def on_client_connected(transport, client):
            await task.queue_frame(speech(660, seconds=0.2))

        await line.until(lambda: seconds_of(sound_of(line.heard())) >= 0.18)
    assert loudest_hz(sound_of(line.heard())) == pytest.approx(660, abs=8)


async def test_an_unknown_event_is_refused_with_those_that_exist(line):
    with pytest.raises(UsageError, match="on_app_message, on_client_connected, on_client_disc"):
        line.transport(wanted()).event_handler("on_connected")


# Audio


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000])
async def test_audio_comes_in_at_the_rate_that_the_bot_asks_for(line, rate_hz):
    recorder = Recorder()
    transport = line.transport(wanted(audio_in_sample_rate=rate_hz))
    async with talking(transport, recorder):
        await recorder.until(Start)
        await line.talk(tone(440, seconds=0.4, rate_hz=CALLER_RATE_HZ))
        await recorder.until(InputAudio, count=18)
    frames = recorder.of(InputAudio)
    assert {(frame.sample_rate_hz, frame.channels) for frame in frames} == {(rate_hz, 1)}
    heard = sound_of(b"".join(frame.pcm for frame in frames), rate_hz=rate_hz)
    assert seconds_of(heard, rate_hz=rate_hz) >= 0.3
    assert loudest_hz(heard, rate_hz=rate_hz) == pytest.approx(440, abs=5)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100])
async def test_audio_goes_out_whatever_rate_the_bot_makes_it_at(line, rate_hz):
    said = OutputAudio(tone(440, seconds=0.4, rate_hz=rate_hz), rate_hz)
    async with talking(line.transport(wanted())) as task:
        await task.queue_frame(said)
        await line.until(lambda: seconds_of(sound_of(line.heard())) >= 0.36)
    assert loudest_hz(sound_of(line.heard())) == pytest.approx(440, abs=5)


async def test_an_echo_bot_gives_a_client_its_voice_back(line):
    async with talking(line.transport(wanted()), Echo()):
        await line.talk(tone(440, seconds=0.5, rate_hz=CALLER_RATE_HZ))
        await line.until(lambda: seconds_of(sound_of(line.heard())) >= 0.4)
    assert loudest_hz(sound_of(line.heard())) == pytest.approx(440, abs=5)


async def test_an_interruption_takes_back_what_was_not_yet_played(line):
    recorder = Recorder()
    async with talking(line.transport(wanted()), recorder) as task:
        await task.queue_frames([speech(440, seconds=1)] * 10)
        await line.until(lambda: seconds_of(sound_of(line.heard())) >= 0.1)
        await task.queue_frame(Interruption())
        await recorder.until(BotStoppedSpeaking)
        await task.queue_frame(speech(880, seconds=0.3))
        await recorder.until(BotStoppedSpeaking, count=2)
        await line.until(lambda: loudest_hz(sound_of(line.heard())[-9600:]) > 800)
    assert seconds_of(sound_of(line.heard())) < 3


async def test_the_bot_counts_as_speaking_while_its_audio_really_leaves(line):
    recorder = Recorder()
    async with talking(line.transport(wanted()), recorder) as task:
        await recorder.until(Start)
        assert recorder.of(BotStartedSpeaking) == []
        await task.queue_frame(speech(440, seconds=0.5))
        await recorder.until(BotStartedSpeaking)
        assert recorder.of(BotStoppedSpeaking) == []
        assert seconds_of(sound_of(line.heard())) < 0.4
        await recorder.until(BotStoppedSpeaking)
        await line.until(lambda: seconds_of(sound_of(line.heard())) >= 0.46)
        await line.until(lambda: len(kinds(line)) == 2)
    assert kinds(line) == ["bot-started-speaking", "bot-stopped-speaking"]
    assert len(recorder.of(BotStartedSpeaking, BotStoppedSpeaking)) == 2


def kinds(line) -> list[object]:
    return [each["type"] for each in line.messages if "speaking" in str(each.get("type"))]


# Messages


async def test_messages_arrive_in_order_both_ways(line):
    recorder = Recorder()
    async with talking(line.transport(wanted()), recorder) as task:
        for n in range(20):
            await line.send({"type": "count", "n": n})
            await task.queue_frame(OutputMessage({"type": "count", "n": n}))
        await recorder.until(InputMessage, count=20)
        await line.until(lambda: len(numbers(line.messages)) == 20)
    assert numbers(line.messages) == list(range(20))
    assert numbers(frame.data for frame in recorder.of(InputMessage)) == list(range(20))


async def test_a_client_that_says_it_is_ready_is_told_that_the_bot_is(line):
    ready = {"label": "rtvi-ai", "type": "client-ready", "id": "c1", "data": {"version": "2.1.0"}}
    async with talking(line.transport(wanted())):
        await line.send(ready)
        await line.until(lambda: line.messages)
    reply = line.messages[0]
    assert (reply["label"], reply["type"], reply["id"]) == ("rtvi-ai", "bot-ready", "c1")


async def test_a_message_does_not_wait_for_audio_that_is_still_to_be_played(line):
    async with talking(line.transport(wanted())) as task:
        await task.queue_frame(speech(440, seconds=10))
        await task.queue_frame(OutputMessage({"type": "count", "n": 1}))
        await line.until(lambda: numbers(line.messages) == [1])
        assert seconds_of(sound_of(line.heard())) < 8


# The end


@pytest.mark.parametrize("hears", [True, False], ids=["a bot that hears", "a deaf bot"])
async def test_a_client_that_leaves_is_announced_once_and_ends_a_bot_that_does_not_end(line, hears):
    recorder = Recorder()
    transport = line.transport(wanted(audio_in_enabled=hears, client_gone_timeout_s=0.01))
    told = told_by(transport)
    async with talking(transport, recorder):
        await recorder.until(Start)
        await line.hang_up()
        await recorder.until(Cancel)
    assert [kind for kind, _ in told] == ["connected", "disconnected"]
    assert told[0][1] is told[1][1]


async def test_a_client_that_left_before_the_bot_was_ready_ends_it_too(line):
    recorder = Recorder()
    transport = line.transport(wanted(client_gone_timeout_s=0.01))
    told = told_by(transport)
    await line.hang_up()
    await line.host_knows()
    async with talking(transport, recorder):
        await recorder.until(Cancel)
    assert [kind for kind, _ in told].count("disconnected") == 1


async def test_a_bot_that_leaves_first_hears_nothing_of_its_client_leaving(line):
    recorder, transport = Recorder(), line.transport(wanted())
    told = told_by(transport)
    await line.send({"type": "here"})
    async with talking(transport, recorder):
        await recorder.until(InputMessage)
    await line.hang_up()
    await line.host_knows()
    await anyio.wait_all_tasks_blocked()
    assert [kind for kind, _ in told] == ["connected", "message"]


async def test_the_end_waits_for_the_last_word(line):
    async with talking(line.transport(wanted())) as task:
        finished = anyio.Event()

        @task.event_handler("on_pipeline_finished")
        async def on_pipeline_finished(task, frame):
            finished.set()

        await task.queue_frame(speech(440, seconds=0.5))
        await task.end()
        with anyio.fail_after(5):
            await finished.wait()
        await line.until(lambda: seconds_of(sound_of(line.heard())) >= 0.46)


async def test_a_client_learns_in_bounded_time_that_its_bot_has_gone(line):
    async with talking(line.transport(wanted())) as task:
        await task.queue_frame(speech(440, seconds=10))
        await line.until(lambda: sound_of(line.heard()))
    with anyio.fail_after(CLOSES_WITHIN_S):
        await line.host_closes()
    await line.until(line.is_over)

import json
from contextlib import asynccontextmanager

import anyio
import numpy as np
import pytest
from tests.kit.fakes import Echo, FakeConnection, Recorder, Signalled
from tests.transports.webrtc.peers import Client, encoded

from offhook.errors import UsageError
from offhook.kit import (
    Cancel,
    InputAudio,
    InputMessage,
    Interruption,
    OutputAudio,
    OutputMessage,
    Pipeline,
    PipelineRunner,
    PipelineTask,
    Start,
    Text,
    TransportParams,
)
from offhook.transports.webrtc import (
    SmallWebRTCConnection,
    SmallWebRTCTransport,
    WebRTCSettings,
)
from offhook.transports.webrtc.opus import OpusDecoder
from offhook.transports.webrtc.transport import WAITING_LIMIT


def tone(hz: float, *, rate_hz: int, seconds: float) -> bytes:
    wave = np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)
    return (wave * 8000).astype("<i2").tobytes()


def loudest_hz(pcm: bytes, *, rate_hz: int) -> float:
    samples = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate_hz / len(samples))


def transport_over(connection, **params) -> SmallWebRTCTransport:
    wanted = {"audio_in_enabled": True, "audio_out_enabled": True, **params}
    return SmallWebRTCTransport(params=TransportParams(**wanted), webrtc_connection=connection)


@asynccontextmanager
async def talking(connection, *processors, transport=None, **params):
    """Run a pipeline of these processors over the connection; yield the transport and the task."""
    transport = transport or transport_over(connection, **params)
    task = PipelineTask(Pipeline([transport.input(), *processors, transport.output()]))
    async with anyio.create_task_group() as group:
        group.start_soon(PipelineRunner().run, task)
        try:
            yield transport, task
        finally:
            await task.cancel()
    if isinstance(connection, FakeConnection):
        connection.close()


# Over a connection that the test drives


async def test_an_echo_bot_gives_back_what_it_hears_at_its_own_rate():
    connection, spoken = FakeConnection(), tone(440, rate_hz=16000, seconds=0.9)
    async with talking(connection, Echo()):
        await connection.changed.until(lambda: "in" in connection.formats)
        for start in range(0, len(spoken), 640):
            connection.client_speaks(spoken[start : start + 640])
        await connection.changed.until(lambda: len(connection.queued) >= 0.89 * 48_000)
    assert connection.formats == {"in": (16000, 1), "out": (24000, 1)}
    assert loudest_hz(bytes(connection.given), rate_hz=24000) == pytest.approx(440, abs=2)


async def test_a_client_that_comes_later_is_announced_once_and_before_what_it_said():
    connection, recorder, told = FakeConnection(is_connected=False), Recorder(), []
    transport = transport_over(connection)

    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport, client):
        told.append(("connected", client))

    @transport.event_handler("on_app_message")
    async def on_app_message(transport, message, sender):
        told.append((message["a"], sender))

    async with talking(connection, recorder, transport=transport):
        await connection.client_says({"a": 1})
        await connection.changed.until(lambda: "in" in connection.formats)
        await connection.client_comes()
        await connection.client_comes()
        await connection.client_says({"a": 2})
        await recorder.until(InputMessage, count=2)
    assert told == [("connected", connection), (1, "pc-1"), (2, "pc-1")]


async def test_a_client_cannot_make_the_line_of_messages_endless():
    connection, recorder = FakeConnection(), Recorder()
    transport = transport_over(connection)
    for n in range(WAITING_LIMIT + 5):
        await connection.client_says({"n": n})
    async with talking(connection, recorder, transport=transport):
        await recorder.until(InputMessage, count=WAITING_LIMIT)
        await connection.client_says({"n": "later"})
        await recorder.until(InputMessage, count=WAITING_LIMIT + 1)
    heard = [frame.data["n"] for frame in recorder.frames if isinstance(frame, InputMessage)]
    assert heard == [*range(WAITING_LIMIT), "later"]


async def test_a_bot_speaks_as_soon_as_its_client_is_connected():
    connection = FakeConnection()
    transport = transport_over(connection)
    greeting = OutputAudio(tone(660, rate_hz=24000, seconds=0.2), 24000)
    task = PipelineTask(Pipeline([transport.input(), transport.output()]))

    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport, client):
        await task.queue_frames([greeting])

    async with anyio.create_task_group() as group:
        group.start_soon(task.run)
        await connection.changed.until(lambda: len(connection.queued) == len(greeting.pcm))
        await task.cancel()
    connection.close()


async def test_a_client_that_leaves_is_announced_once_and_the_bot_ended_if_it_does_not_end():
    connection, recorder, told = FakeConnection(), Recorder(), []
    transport = transport_over(connection, client_gone_timeout_s=0.01)

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport, client):
        told.append(client)

    async with talking(connection, recorder, transport=transport):
        await connection.changed.until(lambda: "in" in connection.formats)
        await connection.client_leaves()
        await recorder.until(Cancel)
    assert told == [connection]


async def test_a_client_that_left_before_the_bot_was_ready_is_announced_once_too():
    connection, recorder, told = FakeConnection(), Recorder(), []
    transport = transport_over(connection, client_gone_timeout_s=0.01)

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport, client):
        told.append(client)

    await connection.client_leaves()
    async with talking(connection, recorder, transport=transport):
        await recorder.until(Cancel)
    assert told == [connection]


async def test_a_deaf_bot_notices_too_that_its_client_has_gone():
    connection, recorder = FakeConnection(), Recorder()
    params = {"audio_in_enabled": False, "client_gone_timeout_s": 0.01}
    async with talking(connection, recorder, **params):
        await connection.changed.until(connection.is_connected)
        await connection.client_leaves()
        await recorder.until(Cancel)
    assert "in" not in connection.formats


async def test_a_bot_that_leaves_first_hears_nothing_of_its_client_leaving():
    connection, told = FakeConnection(), []
    transport = transport_over(connection)

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport, client):
        told.append(client)

    async with talking(connection, transport=transport):
        await connection.changed.until(lambda: "in" in connection.formats)
    await connection.client_leaves()
    assert told == []


async def test_an_interruption_flushes_the_connection():
    connection, recorder = FakeConnection(), Recorder()
    async with talking(connection, recorder) as (_, task):
        await task.queue_frame(OutputAudio(tone(440, rate_hz=24000, seconds=10), 24000))
        await connection.changed.until(lambda: len(connection.queued) >= 48_000)
        await task.queue_frames([Interruption(), Text("later")])
        await recorder.until(Text)
        await anyio.wait_all_tasks_blocked()
        assert not connection.queued


async def test_the_end_waits_for_the_last_word():
    connection = FakeConnection()
    async with talking(connection) as (_, task):
        ended = Signalled()
        finished = []

        @task.event_handler("on_pipeline_finished")
        async def on_pipeline_finished(task, frame):
            finished.append(frame)
            ended.change()

        await task.queue_frame(OutputAudio(tone(440, rate_hz=24000, seconds=0.5), 24000))
        await task.end()
        await connection.changed.until(lambda: len(connection.queued) == 24_000)
        assert finished == []
        connection.play()
        await ended.until(lambda: finished)
    assert len(connection.played) == 24_000


async def test_the_client_hears_when_the_bot_is_really_heard():
    connection = FakeConnection()
    async with talking(connection) as (_, task):
        await task.queue_frame(OutputAudio(tone(440, rate_hz=24000, seconds=0.1), 24000))
        await connection.changed.until(lambda: connection.queued)
        assert connection.messages == []
        connection.play()
        await connection.changed.until(lambda: len(connection.messages) == 2)
    types = [message["type"] for message in connection.messages]
    assert types == ["bot-started-speaking", "bot-stopped-speaking"]


async def test_lost_audio_is_marked():
    connection, recorder = FakeConnection(), Recorder()
    async with talking(connection, recorder):
        await connection.changed.until(lambda: "in" in connection.formats)
        connection.client_speaks(bytes(640), is_concealed=True)
        await recorder.until(InputAudio)
    assert recorder.of(InputAudio) == [InputAudio(bytes(640), 16000, 1, is_concealed=True)]


def test_an_unknown_event_is_refused_with_those_that_exist():
    connection = FakeConnection()
    with pytest.raises(UsageError, match="on_app_message, on_client_connected, on_client_disc"):
        transport_over(connection).event_handler("on_connected")
    connection.close()


# Over a real connection


def types_of(client: Client) -> list[object]:
    return [message.get("type") for message in client.messages]


@asynccontextmanager
async def on_the_line(connection):
    """Run the worker's side of a connection, with a client that has called."""
    client = Client()
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run)
        await client.call(connection)
        try:
            yield client
        finally:
            await client.aclose()
            with anyio.fail_after(5):
                await connection.aclose()
            group.cancel_scope.cancel()


async def test_a_real_client_is_greeted_in_messages_and_in_sound():
    connection = SmallWebRTCConnection(settings=WebRTCSettings())
    ready = {"label": "rtvi-ai", "type": "client-ready", "id": "c1", "data": {"version": "2.1.0"}}
    async with on_the_line(connection) as client, talking(connection) as (_, task):
        client.channel.send(json.dumps(ready))
        await task.queue_frame(OutputAudio(tone(440, rate_hz=24000, seconds=0.5), 24000))
        await client.until(lambda: "bot-stopped-speaking" in types_of(client))
        await task.queue_frame(OutputMessage({"type": "mine"}))
        await client.until(lambda: "mine" in types_of(client))
    assert sorted(types_of(client)[:2]) == ["bot-ready", "bot-started-speaking"]
    decoder = OpusDecoder(sample_rate_hz=24000)
    heard = b"".join(decoder.decode(packet.payload) for _, packet in client.received)
    assert loudest_hz(heard, rate_hz=24000) == pytest.approx(440, abs=5)


async def test_an_echo_bot_gives_a_real_client_its_voice_back():
    connection = SmallWebRTCConnection(settings=WebRTCSettings())
    async with on_the_line(connection) as client, talking(connection, Echo()):
        await client.talk(encoded(tone(440, rate_hz=16000, seconds=0.6)))
        await client.until(lambda: len(client.received) >= 25)
    decoder = OpusDecoder(sample_rate_hz=24000)
    heard = b"".join(decoder.decode(packet.payload) for _, packet in client.received)
    assert loudest_hz(heard, rate_hz=24000) == pytest.approx(440, abs=5)


async def test_a_real_client_that_leaves_ends_the_bot():
    connection, recorder = SmallWebRTCConnection(settings=WebRTCSettings()), Recorder()
    transport = transport_over(connection, client_gone_timeout_s=0.01)
    gone = anyio.Event()

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport, client):
        gone.set()

    async with (
        on_the_line(connection) as client,
        talking(connection, recorder, transport=transport),
    ):
        await recorder.until(Start)
        await client.aclose()
        with anyio.fail_after(5):
            await gone.wait()
        await recorder.until(Cancel)

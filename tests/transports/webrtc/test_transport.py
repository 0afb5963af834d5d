"""What only this transport has; the rest is in tests/conformance, which every transport passes."""

import anyio
from tests.conformance.line import talking, tone, wanted
from tests.kit.fakes import FakeConnection, Recorder

from offhook.kit import InputAudio, InputMessage, Interruption, OutputAudio, Text
from offhook.transports.webrtc import SmallWebRTCTransport
from offhook.transports.webrtc.transport import WAITING_LIMIT


def transport_over(connection, **params) -> SmallWebRTCTransport:
    return SmallWebRTCTransport(params=wanted(**params), webrtc_connection=connection)


async def test_the_connection_codes_at_the_rates_of_the_bot():
    connection = FakeConnection()
    async with talking(transport_over(connection, audio_out_sample_rate=16000)):
        await connection.changed.until(lambda: len(connection.formats) == 2)
    connection.close()
    assert connection.formats == {"in": (16000, 1), "out": (16000, 1)}


async def test_a_deaf_bot_has_nothing_decoded():
    connection = FakeConnection()
    async with talking(transport_over(connection, audio_in_enabled=False)):
        await connection.changed.until(connection.is_connected)
    connection.close()
    assert "in" not in connection.formats


async def test_a_client_that_comes_later_is_announced_once_and_before_what_it_said():
    connection, recorder, told = FakeConnection(is_connected=False), Recorder(), []
    transport = transport_over(connection)

    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport, client):
        told.append(("connected", client))

    @transport.event_handler("on_app_message")
    async def on_app_message(transport, message, sender):
        told.append((message["a"], sender))

    async with talking(transport, recorder):
        await connection.client_says({"a": 1})
        await connection.changed.until(lambda: "in" in connection.formats)
        await connection.client_comes()
        await connection.client_comes()
        await connection.client_says({"a": 2})
        await recorder.until(InputMessage, count=2)
    connection.close()
    assert told == [("connected", connection), (1, "pc-1"), (2, "pc-1")]


async def test_a_client_cannot_make_the_line_of_messages_endless():
    connection, recorder = FakeConnection(), Recorder()
    transport = transport_over(connection)
    for n in range(WAITING_LIMIT + 5):
        await connection.client_says({"n": n})
    async with talking(transport, recorder):
        await recorder.until(InputMessage, count=WAITING_LIMIT)
        await connection.client_says({"n": "later"})
        await recorder.until(InputMessage, count=WAITING_LIMIT + 1)
    connection.close()
    heard = [frame.data["n"] for frame in recorder.frames if isinstance(frame, InputMessage)]
    assert heard == [*range(WAITING_LIMIT), "later"]


async def test_an_interruption_leaves_nothing_in_the_connection():
    connection, recorder = FakeConnection(), Recorder()
    async with talking(transport_over(connection), recorder) as task:
        await task.queue_frame(OutputAudio(tone(440, seconds=10), 24000))
        await connection.changed.until(lambda: len(connection.queued) >= 48_000)
        await task.queue_frames([Interruption(), Text("later")])
        await recorder.until(Text)
        await anyio.wait_all_tasks_blocked()
        assert not connection.queued
    connection.close()


async def test_lost_audio_is_marked():
    connection, recorder = FakeConnection(), Recorder()
    async with talking(transport_over(connection), recorder):
        await connection.changed.until(lambda: "in" in connection.formats)
        connection.client_speaks(bytes(640), is_concealed=True)
        await recorder.until(InputAudio)
    connection.close()
    assert recorder.of(InputAudio) == [InputAudio(bytes(640), 16000, 1, is_concealed=True)]

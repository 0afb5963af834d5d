import anyio
import pytest
from tests.kit.fakes import FakeTransport, Recorder, StumbleError, running

import offhook
from offhook.errors import UsageError
from offhook.kit import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    CustomFrame,
    InputMessage,
    InputTransport,
    Interruption,
    OutputTransport,
    PipelineTask,
    RTVIProcessor,
    TransportParams,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    server_message,
)
from offhook.kit.events import Events
from offhook.kit.rtvi import WAITING_MESSAGES_LIMIT


class Call:
    """A pipeline with an RTVI client at its other end."""

    def __init__(self, *processors, rtvi: RTVIProcessor | None = None, **params) -> None:
        self.transport = FakeTransport()
        wanted = TransportParams(**{"audio_in_enabled": True, "audio_out_enabled": True, **params})
        events = Events(self.transport, ())
        source = InputTransport(self.transport, wanted, events)
        sink = OutputTransport(self.transport, wanted, events)
        self.recorder = Recorder()
        own = [rtvi] if rtvi else []
        self.processors = [source, *own, *processors, self.recorder, sink]

    def says(self, kind: str, data: object = None, *, msg_id: str = "c1") -> None:
        message = {"label": "rtvi-ai", "type": kind, "id": msg_id}
        if data is not None:
            message["data"] = data
        self.transport.arrive(InputMessage(message))

    async def hears(self, kind: str, *, count: int = 1) -> dict:
        types = self.transport
        await types.changed.until(lambda: types.message_types.count(kind) >= count)
        return [message for message in types.messages if message["type"] == kind][count - 1]


async def test_a_client_is_answered_without_any_code_of_the_bots():
    call = Call()
    async with running(*call.processors):
        call.says("client-ready", {"version": "2.1.0", "about": {"library": "js"}})
        ready = await call.hears("bot-ready")
    assert ready["id"] == "c1"
    assert ready["data"]["version"] == "2.2.0"
    assert ready["data"]["about"] == {"library": "offhook", "library_version": offhook.__version__}


@pytest.mark.parametrize("has_audio", [True, False])
async def test_bot_ready_says_what_the_bot_can_do(has_audio):
    call = Call(audio_in_enabled=has_audio, audio_out_enabled=has_audio)
    async with running(*call.processors):
        call.says("client-ready", {"version": "2.2.0"})
        capabilities = (await call.hears("bot-ready"))["data"]["capabilities"]
    assert (capabilities["audio_in"], capabilities["audio_out"]) == (has_audio, has_audio)
    assert not capabilities["video_in"]


async def test_a_client_of_a_strange_version_is_warned_first_and_answered_all_the_same():
    call = Call()
    async with running(*call.processors):
        call.says("client-ready", {"version": "7.0.0"})
        await call.hears("bot-ready")
    assert call.transport.message_types == ["error-response", "bot-ready"]


async def test_with_a_handler_the_bot_decides_when_it_is_ready():
    rtvi = RTVIProcessor()
    call, asked = Call(rtvi=rtvi), anyio.Event()

    @rtvi.event_handler("on_client_ready")
    async def on_client_ready(rtvi):
        asked.set()

    async with running(*call.processors):
        call.says("client-ready", {"version": "1.0.0"})
        await asked.wait()
        assert call.transport.messages == []
        await rtvi.set_bot_ready()
        ready = await call.hears("bot-ready")
    assert (ready["id"], ready["data"]["version"]) == ("c1", "1.0.0")
    assert call.transport.message_types.count("bot-ready") == 1


async def test_a_bot_that_is_ready_early_answers_as_soon_as_it_is_asked():
    rtvi = RTVIProcessor()
    call, told = Call(rtvi=rtvi), anyio.Event()

    @rtvi.event_handler("on_client_ready")
    async def on_client_ready(rtvi):
        told.set()

    async with running(*call.processors):
        await rtvi.set_bot_ready()
        call.says("client-ready", {"version": "2.0.0"})
        await call.hears("bot-ready")
        await told.wait()


async def test_every_client_ready_is_answered():
    call = Call()
    async with running(*call.processors):
        call.says("client-ready", {"version": "2.0.0"}, msg_id="c1")
        call.says("client-ready", {"version": "2.0.0"}, msg_id="c2")
        assert (await call.hears("bot-ready", count=2))["id"] == "c2"


async def test_a_processor_before_the_transport_hears_the_client_too():
    rtvi = RTVIProcessor()
    call = Call()
    async with running(rtvi, *call.processors):
        call.says("client-ready", {"version": "2.0.0"})
        await call.hears("bot-ready")


async def test_the_application_is_answered_by_id():
    rtvi = RTVIProcessor()
    call = Call(rtvi=rtvi)

    @rtvi.event_handler("on_client_message")
    async def on_client_message(rtvi, message):
        if message.type == "add":
            await rtvi.send_server_response(message, sum(message.data))
        else:
            await rtvi.send_error_response(message, "no such thing")

    async with running(*call.processors):
        call.says("client-message", {"t": "add", "d": [1, 2]}, msg_id="c7")
        response = await call.hears("server-response")
        call.says("client-message", {"t": "fly"}, msg_id="c8")
        refusal = await call.hears("error-response")
    assert response == {
        "label": "rtvi-ai",
        "type": "server-response",
        "id": "c7",
        "data": {"t": "add", "d": 3},
    }
    assert (refusal["id"], refusal["data"]) == ("c8", {"error": "no such thing"})


async def test_messages_are_handled_one_at_a_time_and_in_order():
    rtvi, handled = RTVIProcessor(), []
    call = Call(rtvi=rtvi)

    async def handle(rtvi, message):
        handled.append(message.msg_id)
        await anyio.sleep(0.01)
        handled.append(message.msg_id)
        await rtvi.send_server_message(message.msg_id)

    rtvi.event_handler("on_client_message")(handle)
    rtvi.event_handler("on_send_text")(handle)
    async with running(*call.processors):
        call.says("client-message", {"t": "a"}, msg_id="1")
        call.says("send-text", {"content": "b"}, msg_id="2")
        call.says("client-message", {"t": "c"}, msg_id="3")
        await call.hears("server-message", count=3)
    assert handled == ["1", "1", "2", "2", "3", "3"]


async def test_a_slow_handler_does_not_hold_up_the_pipeline_and_a_flood_is_refused():
    rtvi, busy = RTVIProcessor(), anyio.Event()
    call = Call(rtvi=rtvi)

    @rtvi.event_handler("on_client_message")
    async def on_client_message(rtvi, message):
        busy.set()
        await anyio.sleep_forever()

    async with running(*call.processors):
        call.says("client-message", {"t": "first"})
        await busy.wait()
        for number in range(WAITING_MESSAGES_LIMIT + 1):
            call.says("client-message", {"t": "a"}, msg_id=str(number))
        refusal = await call.hears("error-response")
        call.says("client-ready", {"version": "2.0.0"})
        await call.hears("bot-ready")
    assert refusal["id"] == str(WAITING_MESSAGES_LIMIT)


async def test_a_handler_that_raises_is_an_error_response_without_its_secrets(caplog):
    rtvi = RTVIProcessor()
    call = Call(rtvi=rtvi)

    @rtvi.event_handler("on_client_message")
    async def on_client_message(rtvi, message):
        raise StumbleError("secret")

    async with running(*call.processors):
        call.says("client-message", {"t": "a"}, msg_id="c9")
        refusal = await call.hears("error-response")
    assert refusal["id"] == "c9"
    assert refusal["data"]["error"] == "Exception processing message: StumbleError"
    assert "secret" in caplog.text


async def test_what_cannot_be_used_is_refused_and_the_session_goes_on():
    call = Call()
    async with running(*call.processors):
        call.says("append-to-context", {})
        assert (await call.hears("error-response"))["data"]["error"].startswith("Unsupported type")
        call.says("client-ready", {"version": "2.0.0"})
        await call.hears("bot-ready")


async def test_messages_of_others_pass_on():
    call = Call()
    async with running(*call.processors):
        call.transport.arrive(InputMessage({"type": "mine"}))
        await call.recorder.until(InputMessage)
    assert call.recorder.of(InputMessage) == [InputMessage({"type": "mine"})]


async def test_disconnect_bot_silences_and_ends_the_bot():
    call = Call()
    with anyio.fail_after(5):
        async with running(*call.processors) as task:
            call.says("disconnect-bot", {})
            ended = anyio.Event()
            task.event_handler("on_pipeline_finished")(lambda task, frame: ended.set())
            await ended.wait()
    assert call.recorder.of(Interruption)
    assert call.transport.message_types == []


async def test_the_client_is_told_who_speaks():
    call = Call()
    async with running(*call.processors):
        call.transport.arrive(
            UserStartedSpeaking(), UserStoppedSpeaking(), BotStartedSpeaking(), BotStoppedSpeaking()
        )
        await call.hears("bot-stopped-speaking")
    assert call.transport.message_types == [
        "user-started-speaking",
        "user-stopped-speaking",
        "bot-started-speaking",
        "bot-stopped-speaking",
    ]
    assert call.transport.messages[0] == {"label": "rtvi-ai", "type": "user-started-speaking"}


async def test_only_a_bot_that_speaks_is_interrupted():
    call = Call()
    async with running(*call.processors) as task:
        await task.queue_frames([Interruption(), CustomFrame()])
        await call.recorder.until(CustomFrame)
        call.transport.arrive(BotStartedSpeaking())
        await call.hears("bot-started-speaking")
        await task.queue_frame(Interruption())
        await call.hears("bot-interrupted")
    assert call.transport.message_types.count("bot-interrupted") == 1


async def test_errors_are_shown_to_the_client_once():
    call = Call()
    async with running(*call.processors) as task:
        await call.recorder.push_error("It hurts.")
        await call.hears("error")
        await task.rtvi.send_error("It is over.", fatal=True)
        await call.hears("error", count=2)
    assert [message["data"] for message in call.transport.messages] == [
        {"error": "It hurts.", "fatal": False},
        {"error": "It is over.", "fatal": True},
    ]


async def test_server_messages_come_from_a_processor_or_from_outside():
    call = Call()
    async with running(*call.processors) as task:
        await task.queue_frame(server_message({"a": 1}))
        await task.rtvi.send_server_message({"b": 2})
        await call.hears("server-message", count=2)
    data = [message["data"] for message in call.transport.messages]
    assert sorted(map(str, data)) == ["{'a': 1}", "{'b': 2}"]


def test_an_unknown_event_is_refused():
    with pytest.raises(UsageError, match="on_client_ready"):
        RTVIProcessor().event_handler("on_anything")


async def test_without_rtvi_a_task_leaves_messages_alone():
    call = Call()
    async with running(*call.processors, enable_rtvi=False) as task:
        call.says("client-ready", {})
        await call.recorder.until(InputMessage)
        assert isinstance(task, PipelineTask)
    assert call.transport.messages == []

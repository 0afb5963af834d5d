import pytest

from offhook.kit import (
    DailyRunnerArguments,
    LiveKitRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)

SECRET = "a.b.c"  # noqa: S105 -- nobody's
ALL = [
    RunnerArguments(),
    SmallWebRTCRunnerArguments("connection"),
    DailyRunnerArguments("https://room"),
    WebSocketRunnerArguments("socket"),
    LiveKitRunnerArguments("room", "wss://livekit", "token"),
]


@pytest.mark.parametrize("arguments", ALL, ids=lambda arguments: type(arguments).__name__)
def test_all_arguments_have_what_every_bot_reads(arguments):
    assert isinstance(arguments, RunnerArguments)
    assert (arguments.handle_sigint, arguments.handle_sigterm) == (False, False)
    assert arguments.pipeline_idle_timeout_secs == 300
    assert (arguments.session_id, arguments.cli_args) == (None, None)
    assert arguments.body.get("anything") is None


@pytest.mark.parametrize("arguments", ALL, ids=lambda arguments: type(arguments).__name__)
def test_the_host_sets_some_of_them_afterwards(arguments):
    arguments.handle_sigint = True
    arguments.pipeline_idle_timeout_secs = None


def test_body_and_session_are_given_by_name_only():
    arguments = SmallWebRTCRunnerArguments("connection", body={"a": 1}, session_id="s1")
    assert (arguments.webrtc_connection, arguments.body) == ("connection", {"a": 1})
    assert arguments.session_id == "s1"
    with pytest.raises(TypeError):
        RunnerArguments({"a": 1})


def test_what_is_particular_to_a_transport_comes_by_place_or_by_name():
    assert DailyRunnerArguments("url", "a.b.c") == DailyRunnerArguments("url", token=SECRET)
    assert DailyRunnerArguments(room_url="url").token is None
    assert WebSocketRunnerArguments("ws", "websocket").transport_type == "websocket"
    assert WebSocketRunnerArguments("ws").call_data is None
    livekit = LiveKitRunnerArguments(room_name="r", url="u", token=SECRET)
    assert (livekit.room_name, livekit.url, livekit.token) == ("r", "u", SECRET)
    with pytest.raises(TypeError):
        LiveKitRunnerArguments("r", "u")


def test_two_sessions_do_not_share_a_body():
    assert RunnerArguments().body is not RunnerArguments().body

"""The official client notices no difference."""

import pytest

from .bots.echo import GREETING_HZ, SPEECH_HZ
from .official_page import OfficialPage
from .server import Offhook
from .signals import MICROPHONE_HZ, is_near

# The first test builds the bundle, if it is not there.
pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.timeout(300)]


def test_it_connects_and_both_sides_hear_each_other(official: OfficialPage):
    ready = official.connect()
    assert ready["version"].startswith("2.")
    official.wait_for("bot-track")
    heard = official.listen(3.5)
    for tone_hz in (GREETING_HZ, *MICROPHONE_HZ):
        assert any(is_near(each, tone_hz) for each in heard), f"{tone_hz} Hz was not heard"
    assert official.states[-3:] == ["connecting", "connected", "ready"]


def test_requests_are_answered_and_refused_by_their_id(official: OfficialPage):
    official.connect()
    assert official.request("double", {"number": 21}) == {"reply": {"doubled": 42}}
    assert official.request("nonsense") == {"refusal": "nonsense? Never heard of it."}


def test_messages_of_the_bot_arrive(official: OfficialPage):
    official.connect()
    official.send("note", {"text": "hello"})
    official.wait_for("server-message", {"text": "hello"})


def test_it_disconnects_and_connects_again(official: OfficialPage, echo_server: Offhook):
    for _ in range(2):
        official.connect()
        assert len(echo_server.sessions()) == 1
        official.disconnect()
        official.wait_for("disconnected")
        echo_server.wait_until_idle()
    assert [each["end_reason"] for each in echo_server.sessions(ended=2)] == ["client_left"] * 2


def test_a_muted_microphone_is_silent_and_an_open_one_is_heard(official: OfficialPage):
    official.connect()
    official.listen(1.5)  # the greeting
    official.enable_microphone(False)
    official.listen(1)  # what was on its way
    assert not [each for each in official.listen(1) if any(is_near(each, t) for t in MICROPHONE_HZ)]
    official.enable_microphone(True)
    heard = official.listen(2.5)
    assert any(is_near(each, MICROPHONE_HZ[0]) for each in heard)


def test_a_new_peer_connection_while_the_bot_speaks_keeps_the_audio_going(
    official: OfficialPage, echo_server: Offhook
):
    official.connect()
    official.send("speak", {"seconds": 8})
    official.wait_for("bot-track")
    official.listen(1.5)
    session_id = echo_server.sessions()[0]["id"]
    official.restart()
    heard = official.listen(1.5)
    assert len([each for each in heard if is_near(each, SPEECH_HZ)]) > 25  # of 37 moments
    assert [each["id"] for each in echo_server.sessions()] == [session_id]
    assert official.request("double", {"number": 4}) == {"reply": {"doubled": 8}}


def test_a_bot_that_finishes_is_seen_to_leave(official: OfficialPage):
    official.connect()
    official.send_text("finish")
    official.wait_for("bot-disconnected")
    official.wait_for("disconnected")


def test_a_fatal_error_arrives_and_disconnects(official: OfficialPage):
    official.connect()
    official.send_text("fatal")
    official.wait_for("error")
    official.wait_for("disconnected")

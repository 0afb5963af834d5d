"""The page calls, talks, types and hangs up."""

import pytest

from .page import ClientPage
from .signals import MICROPHONE_HZ, is_near
from .standin import GREETING_HZ, StandIn

pytestmark = pytest.mark.browser


def test_a_click_connects_and_both_sides_hear_each_other(client: ClientPage):
    client.connect()
    client.wait_for_first_audio()
    heard = client.listen(3)
    # The bot greets with one tone, then sends back what it hears of the microphone.
    assert any(is_near(each, GREETING_HZ) for each in heard)
    for tone_hz in MICROPHONE_HZ:
        assert any(is_near(each, tone_hz) for each in heard), f"{tone_hz} Hz did not come back"


def test_the_offer_is_sent_before_ice_has_gathered_and_candidates_follow(
    client: ClientPage, standin: StandIn
):
    client.connect()
    session = standin.session()
    session.wait_for(lambda it: it.candidates)
    offer = session.offers[0]
    assert offer["type"] == "offer"
    assert offer["pc_id"] is None
    assert offer["restart_pc"] is False
    assert "a=candidate" not in offer["sdp"]
    assert session.candidates[0]["pc_id"] == "pc-s0-0"
    assert {"candidate", "sdp_mid", "sdp_mline_index"} == set(
        session.candidates[0]["candidates"][0]
    )


def test_the_handshake_is_sent_in_order_and_once(client: ClientPage, standin: StandIn):
    client.connect()
    session = standin.session()
    session.wait_for(lambda it: len(it.pings) >= 2)
    track_status, client_ready = session.messages
    assert track_status["message"] == {"type": "trackStatus", "receiver_index": 0, "enabled": True}
    assert client_ready["type"] == "client-ready"
    assert client_ready["data"]["version"] == "2.2.0"
    assert client_ready["data"]["about"]["library"] == "offhook-page"
    assert session.pings[0].removeprefix("ping: ").isdigit()


def test_a_renegotiation_keeps_the_connection_and_does_not_repeat_the_handshake(
    client: ClientPage, standin: StandIn
):
    client.connect()
    session = standin.session()
    session.signal("renegotiate")
    session.wait_for(lambda it: len(it.offers) == 2)
    assert session.offers[1]["pc_id"] == "pc-s0-0"
    assert session.offers[1]["restart_pc"] is False
    client.wait_for_first_audio()
    assert client.headline == "On the line"
    assert len(session.messages_of("client-ready")) == 1


def test_a_typed_message_reaches_the_bot_and_its_answer_the_reader(
    client: ClientPage, standin: StandIn
):
    client.connect()
    client.type("forty-two")
    standin.session().wait_for(lambda it: it.messages_of("send-text"))
    client.page.locator("#turns").get_by_text("You wrote forty-two").wait_for()
    sent = standin.session().messages_of("send-text")[0]
    assert sent["data"] == {
        "content": "forty-two",
        "options": {"run_immediately": True, "audio_response": True},
    }
    assert [who for who, _ in client.turns] == ["bot", "you", "bot"]


def test_a_bot_that_takes_no_text_is_said_to_take_none_and_the_call_goes_on(
    client: ClientPage, standin: StandIn
):
    standin.behaviour.takes_text = False
    client.connect()
    client.type("hello?")
    client.page.get_by_text("This bot does not take typed messages.").wait_for()
    assert client.headline == "On the line"


def test_who_speaks_is_shown_in_words(client: ClientPage, standin: StandIn):
    client.connect()
    session = standin.session()
    session.send("bot-stopped-speaking")
    client.page.get_by_text("The bot is listening.").wait_for()
    session.send("user-started-speaking")
    client.page.get_by_text("You are speaking.").wait_for()
    session.send("user-stopped-speaking")
    client.page.locator("#turns").get_by_text("You spoke for").wait_for()


def test_the_start_is_shown_step_by_step_from_both_sides(client: ClientPage):
    client.connect()
    client.wait_for_first_audio()
    client.page.locator('.step[data-step="first_audio_out"]').wait_for()
    assert client.steps("server")[:5] == [
        "accepted",
        "admitted",
        "worker_leased",
        "bot_entered",
        "answer_sent",
    ]
    ours = client.steps("page")
    assert ours.index("offer_created") < ours.index("answer_received") < ours.index("ice_connected")
    assert "first_audio_heard" in ours
    assert client.page.locator("#start-total").inner_text().endswith("ms to first audio")


def test_the_quality_of_the_connection_is_measured(client: ClientPage):
    client.connect()
    client.page.locator('#grade[data-grade="excellent"], #grade[data-grade="good"]').wait_for()
    assert client.page.locator("#rtt").inner_text().endswith(" ms")
    assert client.page.locator("#loss").inner_text() == "0.0 %"


def test_the_levels_of_both_sides_move(client: ClientPage):
    client.connect()
    for who in ("you", "bot"):
        client.page.wait_for_function(
            "(who) => getComputedStyle(document.getElementById(`level-${who}`))"
            ".getPropertyValue('--level') > 0.3",
            arg=who,
        )


def test_hanging_up_closes_the_channel_and_the_next_call_is_a_fresh_session(
    client: ClientPage, standin: StandIn
):
    client.connect()
    client.disconnect()
    assert client.headline == "You hung up"
    standin.session().wait_for(lambda it: it.closed)
    client.connect()
    assert standin.session(1).offers[0]["pc_id"] is None
    client.wait_for_first_audio()
    assert "first_audio_heard" in client.steps("page")


def test_leaving_the_page_ends_the_call(client: ClientPage, standin: StandIn):
    client.connect()
    client.page.goto("about:blank")
    standin.session().wait_for(lambda it: it.closed)


def test_a_call_can_be_cancelled_before_it_is_answered(client: ClientPage):
    client.page.route("**/start", lambda _: None)  # never answered
    client.page.locator("#dial").click()
    client.wait_for_state("starting")
    client.disconnect()
    client.page.unroute("**/start")
    client.connect()


def test_servers_for_ice_are_taken_from_the_reply(client: ClientPage, standin: StandIn):
    standin.behaviour.ice_config = {"iceServers": [{"urls": "turn:127.0.0.1:9"}]}  # no credential
    client.page.locator("#dial").click()
    client.wait_for_end("unexpected")  # so the browser did look at it
    assert "turn" in client.page.locator("#ending-words").inner_text().lower()

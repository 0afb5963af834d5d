"""However a call ends, the page says why, in words, and can call again."""

import pytest

from .page import ClientPage
from .standin import StandIn

pytestmark = pytest.mark.browser

BUSY = {"code": "refused_busy", "detail": "All 4 lines are busy.", "hint": "Ring again later."}


def words(client: ClientPage) -> str:
    return client.page.locator("#ending").inner_text()


def test_a_crash_of_the_bot_is_told_with_the_servers_words(client: ClientPage, standin: StandIn):
    client.connect()
    standin.session().end("bot_crashed", "The bot crashed (signal SIGSEGV).")
    client.wait_for_end("bot_crashed")
    assert client.headline == "The bot crashed"
    assert "SIGSEGV" in words(client)
    assert "bot_crashed" in words(client)


def test_a_bot_that_leaves_is_said_to_have_left(client: ClientPage, standin: StandIn):
    client.connect()
    standin.session().hang_up()
    client.wait_for_end("bot_finished")
    assert client.headline == "The bot said goodbye"


def test_the_servers_reason_counts_more_than_the_bots_goodbye(client: ClientPage, standin: StandIn):
    client.connect()
    standin.session().signal("peerLeft")
    client.wait_for_state("ending")
    standin.session().end("time_limit", "Ten minutes were over.")
    client.wait_for_end("time_limit")
    assert "Ten minutes were over." in words(client)


def test_a_fatal_error_of_the_bot_ends_the_call_with_its_text(client: ClientPage, standin: StandIn):
    client.connect()
    standin.session().send("error", {"error": "The voice service is down.", "fatal": True})
    client.wait_for_end("bot_error")
    assert "The voice service is down." in words(client)


def test_an_error_that_is_not_fatal_is_listed_and_the_call_goes_on(
    client: ClientPage, standin: StandIn
):
    client.connect()
    standin.session().send("error", {"error": "slow today", "fatal": False})
    client.page.locator('.event[data-kind="error"]', has_text="slow today").wait_for()
    assert client.headline == "On the line"


def test_a_refusal_is_shown_with_what_to_do(client: ClientPage, standin: StandIn):
    standin.behaviour.start_errors.append((503, BUSY))
    client.page.locator("#dial").click()
    client.wait_for_end("refused_busy")
    assert client.headline == "All lines are busy"
    assert "All 4 lines are busy." in words(client)
    assert "Ring again later." in words(client)


def test_a_refused_offer_is_final(client: ClientPage, standin: StandIn):
    refusal = {"code": "bad_offer", "detail": "The offer has no audio.", "hint": "Send audio."}
    standin.behaviour.offer_errors.append((400, refusal))
    client.page.locator("#dial").click()
    client.wait_for_end("bad_offer")
    assert "The offer has no audio." in words(client)
    assert standin.session().offers == []


def test_a_retry_that_is_refused_does_not_hide_the_first_failure(
    client: ClientPage, standin: StandIn
):
    failed = {"code": "bot_failed", "detail": "The bot's file has a fault."}
    standin.behaviour.offer_errors.append((502, failed))
    standin.behaviour.offer_errors.append((410, {"code": "session_ended", "detail": "Over."}))
    client.page.locator("#dial").click()
    client.wait_for_end("bot_failed")
    assert "The bot's file has a fault." in words(client)


def test_a_failing_server_is_asked_again_and_the_call_succeeds(
    client: ClientPage, standin: StandIn
):
    standin.behaviour.offer_errors.append((500, {"code": "internal", "detail": "Oops."}))
    client.page.locator("#dial").click()
    client.wait_for_state("reconnecting")
    assert "Attempt 1 of 3" in client.page.locator("#state-more").inner_text()
    client.wait_for_state("ready")
    assert standin.session().offers[0]["restart_pc"] is True


def test_no_server_at_all_is_said_to_be_none(client: ClientPage):
    client.page.route("**/start", lambda route: route.abort())
    client.page.locator("#dial").click()
    client.wait_for_end("server_unreachable")
    assert client.headline == "The server does not answer"


def test_an_error_that_is_not_json_is_shown_by_its_status(client: ClientPage):
    client.page.route("**/start", lambda route: route.fulfill(status=502, body="<h1>Bad</h1>"))
    client.page.locator("#dial").click()
    client.wait_for_end("http_502")
    assert "502" in words(client)


def test_after_any_end_one_click_calls_again(client: ClientPage, standin: StandIn):
    client.connect()
    standin.session().end("drained", "The server is shutting down.")
    client.wait_for_end("drained")
    client.button("Connect again").click()
    client.wait_for_state("ready")
    assert client.page.locator("#ending").is_hidden()
    assert client.page.locator("body").get_attribute("data-end-reason") == ""

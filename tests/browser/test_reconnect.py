"""A line that breaks is built anew below the same conversation."""

import pytest

from .page import ClientPage
from .standin import StandIn

pytestmark = pytest.mark.browser

NOTICED_WITHIN_S = 12  # a silent network, by the browser
RETRY_AFTER_MS = 2000
PATIENCE_MS = 5000  # of the page, after that


@pytest.mark.timeout(30)
def test_a_lost_network_path_is_replaced_and_the_same_bot_goes_on(
    client: ClientPage, standin: StandIn
):
    client.page.clock.install()
    client.connect()
    session = standin.session()
    session.vanish()
    client.wait_for_text("The network went quiet.", NOTICED_WITHIN_S)
    client.page.clock.fast_forward(PATIENCE_MS)
    client.wait_for_event("reconnecting")
    client.wait_for_state("ready")
    assert [each["restart_pc"] for each in session.offers] == [False, True]
    assert session.offers[1]["pc_id"] == "pc-s0-0"
    assert len(session.messages_of("client-ready")) == 1
    session.greet()
    assert client.listen(1.5) != []


def test_a_channel_that_closes_without_a_word_is_built_anew(client: ClientPage, standin: StandIn):
    client.connect()
    standin.session().drop_channel()
    client.wait_for_event("reconnecting")
    client.wait_for_state("ready")
    assert standin.session().offers[1]["restart_pc"] is True
    assert len(standin.session().messages_of("client-ready")) == 1


def test_a_server_that_keeps_failing_is_given_up_after_three_attempts(
    client: ClientPage, standin: StandIn
):
    oops = (500, {"code": "internal", "detail": "Oops.", "hint": "Look at the log."})
    standin.behaviour.offer_errors.extend([oops] * 5)
    client.page.clock.install()
    client.page.locator("#dial").click()
    for attempt in (1, 2, 3):
        client.page.get_by_text(f"Attempt {attempt} of 3.").wait_for()
        client.page.clock.fast_forward(RETRY_AFTER_MS)
    client.wait_for_end("internal")
    assert len(standin.behaviour.offer_errors) == 1  # one offer and three more

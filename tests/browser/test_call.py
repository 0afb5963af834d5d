"""The page calls, talks and hangs up."""

import pytest

from .page import ClientPage
from .standin import StandIn

pytestmark = pytest.mark.browser


def test_a_click_connects_and_the_bot_is_heard(client: ClientPage, standin: StandIn):
    client.connect()
    client.wait_for_first_audio()
    assert client.headline == "On the line"
    print(client.event_names("page","server","bot","you"), client.steps("server"), client.steps("page"), client.turns, client.listen(2))
    client.disconnect()
    assert client.headline == "You hung up"

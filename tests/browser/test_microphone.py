"""The microphone: with it, without it, muted, changed."""

from collections.abc import Callable

import pytest

from .page import ClientPage
from .signals import MICROPHONE_HZ, is_near
from .standin import StandIn

pytestmark = pytest.mark.browser


def track_status(standin: StandIn) -> list[bool]:
    return [each["message"]["enabled"] for each in standin.session().messages_of("signalling")]


def is_microphone(heard_hz: float) -> bool:
    return any(is_near(heard_hz, tone_hz) for tone_hz in MICROPHONE_HZ)


def test_without_permission_the_page_connects_and_says_so(
    open_page: Callable[..., ClientPage], standin: StandIn
):
    client = open_page(microphone=False)
    client.connect()
    client.wait_for_first_audio()
    assert client.page.locator("body").get_attribute("data-microphone") == "none"
    assert "listen and type" in client.page.locator("#microphone-problem").inner_text()
    assert track_status(standin) == [False]
    assert client.complaints == []


def test_somebody_may_choose_to_join_without_a_microphone_and_take_one_later(
    client: ClientPage, standin: StandIn
):
    client.page.get_by_label("Microphone").select_option("none")
    client.connect()
    assert client.page.locator("#microphone-problem").is_hidden()
    client.page.get_by_label("Microphone").select_option("")
    client.page.locator('body[data-microphone="on"]').wait_for()
    standin.session().wait_for(lambda _: track_status(standin) == [False, True])
    client.wait_for_first_audio()
    assert any(is_microphone(each) for each in client.listen(3))
    assert len(standin.session().offers) == 1


def test_mute_silences_the_microphone_and_unmute_opens_it_again(
    client: ClientPage, standin: StandIn
):
    client.connect()
    client.wait_for_first_audio()
    client.button("Mute").click()
    standin.session().wait_for(lambda _: track_status(standin) == [True, False])
    client.listen(1.5)  # what was on its way
    assert not any(is_microphone(each) for each in client.listen(1))
    client.button("Unmute").click()
    standin.session().wait_for(lambda _: track_status(standin) == [True, False, True])
    assert any(is_microphone(each) for each in client.listen(2))


def test_a_call_may_begin_muted(client: ClientPage, standin: StandIn):
    client.button("Mute").click()
    client.connect()
    standin.session().wait_for(lambda it: it.messages_of("client-ready"))
    assert track_status(standin) == [False]
    assert client.button("Unmute").is_visible()


def test_microphones_are_listed_by_name_after_permission(client: ClientPage):
    client.connect()
    options = client.page.get_by_label("Microphone").locator("option")
    options.filter(has_text="Fake").first.wait_for(state="attached")
    names = options.all_inner_texts()
    assert names[0] == "System default"
    assert names[-1] == "None, just listen"


def test_the_choice_can_change_during_the_call(client: ClientPage, standin: StandIn):
    client.connect()
    options = client.page.get_by_label("Microphone").locator("option")
    options.filter(has_text="Fake").first.wait_for(state="attached")
    client.page.get_by_label("Microphone").select_option(index=1)
    standin.session().wait_for(lambda _: track_status(standin) == [True, True])
    client.wait_for_first_audio()
    assert any(is_microphone(each) for each in client.listen(3))

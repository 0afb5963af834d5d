"""The page as a page: nothing from outside, keyboard, themes, phones, the list of events."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from .page import ClientPage
from .standin import StandIn

pytestmark = pytest.mark.browser


def test_nothing_is_fetched_from_anywhere_else(open_page, open_context, standin: StandIn):
    context = open_context()
    page = context.new_page()
    hosts: set[str | None] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    client = ClientPage.opened(page, f"{standin.url}/client/")
    client.connect()
    client.wait_for_first_audio()
    assert hosts == {"localhost"}
    assert client.complaints == []


def test_a_call_needs_only_the_keyboard(client: ClientPage, standin: StandIn):
    keyboard = client.page.keyboard
    for _ in range(2):
        keyboard.press("Tab")
    assert client.page.evaluate("document.activeElement.id") == "dial"
    keyboard.press("Enter")
    client.wait_for_state("ready")
    while client.page.evaluate("document.activeElement.id") != "message":
        keyboard.press("Tab")
    keyboard.type("by keyboard")
    keyboard.press("Enter")
    standin.session().wait_for(lambda it: it.messages_of("send-text"))


def test_the_focus_is_visible(client: ClientPage):
    client.page.keyboard.press("Tab")
    outline = client.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_state_end_and_conversation_are_announced(client: ClientPage):
    for selector in (".words", "#ending", "#microphone-problem"):
        assert client.page.locator(selector).get_attribute("role") == "status"
    assert client.page.locator("#turns").get_attribute("role") == "log"


def test_no_width_needs_sideways_scrolling(client: ClientPage):
    client.connect()
    client.wait_for_first_audio()
    for width in (320, 390, 768, 1024, 1280, 1920):
        client.page.set_viewport_size({"width": width, "height": 800})
        too_wide = client.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert too_wide <= 0, f"at {width} pixels"


def background(client: ClientPage) -> str:
    found: str = client.page.evaluate("getComputedStyle(document.body).backgroundColor")
    return found


def test_the_theme_follows_the_system_until_one_is_chosen_and_the_choice_stays(
    open_page: Callable[..., ClientPage],
):
    client = open_page(color_scheme="dark")
    dark = background(client)
    client.button("Theme: auto").click()
    light = background(client)
    assert light != dark
    client.page.reload()
    assert background(client) == light
    client.button("Theme: light").click()
    assert background(client) == dark
    client.button("Theme: dark").click()
    assert client.button("Theme: auto").is_visible()


CONTRAST = """() => {
  const luminance = (color) => {
    const [r, g, b] = color.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let it = node; it; it = it.parentElement) {
      const color = getComputedStyle(it).backgroundColor;
      if (!/, 0\\)$|^transparent$/.test(color)) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  const texts = "h1, h2, h3, p, span, dt, dd, time, code, label, button";
  for (const node of document.querySelectorAll(texts)) {
    const text = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!text || !node.checkVisibility() || node.closest(":disabled, .visually-hidden")) continue;
    const [a, b] = [luminance(getComputedStyle(node).color), luminance(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${node.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(
    open_page: Callable[..., ClientPage], standin: StandIn, scheme: str
):
    client = open_page(color_scheme=scheme, reduced_motion="reduce")
    assert client.page.evaluate(CONTRAST) == []
    client.connect()
    client.wait_for_first_audio()
    standin.session().send("error", {"error": "e", "fatal": False})
    client.wait_for_event("error")
    assert client.page.evaluate(CONTRAST) == []
    standin.session().end("bot_crashed", "The bot crashed.")
    client.wait_for_end("bot_crashed")
    assert client.page.evaluate(CONTRAST) == []


def test_nothing_moves_for_those_who_want_it_calm(open_page: Callable[..., ClientPage]):
    client = open_page(reduced_motion="reduce")
    client.page.route("**/start", lambda _: None)
    client.page.locator("#dial").click()
    client.wait_for_state("starting")
    assert client.page.evaluate("document.getAnimations().length") == 0


def test_events_are_filtered_by_kind_and_by_word(client: ClientPage, standin: StandIn):
    client.connect()
    standin.session().send("server-message", {"text": "needle"})
    client.wait_for_event("server-message")
    client.button("Line").click()
    assert client.page.locator('.event[data-kind="connection"]:visible').count() == 0
    assert client.page.locator('.event[data-name="bot-ready"]').is_visible()
    client.page.get_by_label("Find in events").fill("NEEDLE")
    assert client.page.locator(".event:visible").count() == 1
    client.page.get_by_label("Find in events").fill("")
    client.button("Line").click()
    assert client.page.locator('.event[data-kind="connection"]:visible').count() > 5


def test_what_is_copied_is_what_is_shown(open_context, standin: StandIn):
    context = open_context()
    context.grant_permissions(["microphone", "clipboard-read", "clipboard-write"])
    client = ClientPage.opened(context.new_page(), f"{standin.url}/client/")
    client.connect()
    standin.session().send("server-message", {"text": "needle"})
    client.wait_for_event("server-message")
    client.page.get_by_label("Find in events").fill("needle")
    client.button("Copy").click()
    client.button("Copied").wait_for()
    copied = client.page.evaluate("navigator.clipboard.readText()")
    assert copied.split("\t")[1:] == ["bot", "server-message", "needle"]


def test_text_of_the_bot_is_never_taken_for_html(client: ClientPage, standin: StandIn):
    client.connect()
    standin.session().send("bot-transcription", {"text": "<img src=x onerror=alert(1)>"})
    client.page.locator("#turns").get_by_text("<img src=x").wait_for()
    assert client.page.locator("#turns img, #events img").count() == 0


def test_messages_that_make_no_sense_do_no_harm(client: ClientPage, standin: StandIn):
    client.connect()
    for text in ("not json", "[]", "null", '{"label":"rtvi-ai"}', '{"type":"signalling"}'):
        standin.session().send_raw(text)
    standin.session().send_raw('{"label":"rtvi-ai","type":"bot-output"}')
    standin.session().send("bot-transcription", {"text": 7})
    standin.session().send("user-transcription")
    standin.session().send("nobody-knows-this", {"a": 1})
    client.wait_for_event("nobody-knows-this")
    assert client.headline == "On the line"

"""The page's pure modules: what goes in, what comes out."""

from typing import Any, Final

import pytest
from playwright.sync_api import BrowserContext, Page

from .standin import StandIn

pytestmark = pytest.mark.browser

TURNS: Final = """async (messages) => {
  const {Transcript} = await import("/client/transcript.js");
  const transcript = new Transcript();
  for (const [atMs, type, data, id] of messages) {
    if (type === "typed") transcript.typed(id, data, atMs);
    else transcript.receive({type, data: data ?? {}, id}, atMs);
  }
  return transcript.turns;
}"""


@pytest.fixture(scope="module")
def page(context: BrowserContext, running: StandIn):
    page = context.new_page()
    page.goto(f"{running.url}/client/")
    yield page
    page.close()


def turns(page: Page, *messages: list[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(TURNS, list(messages))
    return found


def texts(page: Page, *messages: list[Any]) -> list[tuple[str, str]]:
    return [(turn["who"], turn["text"]) for turn in turns(page, *messages)]


def test_what_a_bot_says_by_several_messages_is_shown_once(page: Page):
    assert texts(
        page,
        [0, "bot-started-speaking"],
        [1, "bot-tts-text", {"text": "Hello"}],
        [2, "bot-tts-text", {"text": "there"}],
        [3, "bot-transcription", {"text": "Hello there."}],
        [4, "bot-output", {"text": "Hello there!", "segment_id": 1}],
    ) == [("bot", "Hello there!")]


def test_words_that_come_one_by_one_become_a_sentence(page: Page):
    words = ["Well", ",", "good", "morning", "!"]
    said = [[n, "bot-tts-text", {"text": word}] for n, word in enumerate(words)]
    assert texts(page, *said) == [("bot", "Well, good morning!")]


def test_progress_tells_what_was_said_from_what_is_to_come(page: Page):
    progress = {"accumulated_text": "One", "remaining_text": "two three."}
    whole = {"text": "One two three.", "segment_id": 5}
    [turn] = turns(
        page,
        [0, "bot-output", whole | {"spoken_status": "new", "spoken_progress": progress}],
    )
    assert (turn["text"], turn["pending"]) == ("One", "two three.")
    [turn] = turns(
        page,
        [0, "bot-output", whole | {"spoken_status": "new", "spoken_progress": progress}],
        [1, "bot-output", whole | {"spoken_status": "completed", "spoken_progress": progress}],
    )
    assert (turn["text"], turn["pending"]) == ("One two three.", "")


def test_an_interim_transcription_is_replaced_by_the_final_one(page: Page):
    heard = [
        [0, "user-started-speaking"],
        [1, "user-transcription", {"text": "what is", "final": False}],
        [2, "user-transcription", {"text": "What is new?", "final": True}],
        [3, "user-input", {"text": "What is new?", "final": True, "input_type": "transcription"}],
    ]
    [interim] = turns(page, *heard[:2])
    assert (interim["text"], interim["pending"]) == ("", "what is")
    [final] = turns(page, *heard)
    assert (final["text"], final["pending"]) == ("What is new?", "")


def test_words_that_come_after_the_answer_began_go_to_the_question(page: Page):
    assert texts(
        page,
        [0, "user-started-speaking"],
        [900, "user-stopped-speaking"],
        [1000, "bot-started-speaking"],
        [1100, "user-transcription", {"text": "Late?", "final": True}],
        [1200, "bot-transcription", {"text": "Yes."}],
    ) == [("you", "Late?"), ("bot", "Yes.")]


def test_without_any_words_the_length_of_each_turn_remains(page: Page):
    found = turns(
        page,
        [0, "user-started-speaking"],
        [2000, "user-stopped-speaking"],
        [2500, "bot-started-speaking"],
        [4000, "bot-stopped-speaking"],
    )
    assert [(turn["who"], turn["spokenMs"]) for turn in found] == [("you", 2000), ("bot", 1500)]


def test_a_short_pause_is_the_same_turn_and_a_long_one_another(page: Page):
    def speech(pause_ms: int) -> list[list[Any]]:
        return [
            [0, "bot-transcription", {"text": "First."}],
            [500, "bot-started-speaking"],
            [1000, "bot-stopped-speaking"],
            [1000 + pause_ms, "bot-started-speaking"],
            [1100 + pause_ms, "bot-transcription", {"text": "Second."}],
        ]

    assert texts(page, *speech(800)) == [("bot", "First. Second.")]
    assert texts(page, *speech(3000)) == [("bot", "First."), ("bot", "Second.")]


def test_an_interruption_and_a_refusal_are_kept_with_their_turns(page: Page):
    bot, typed = turns(
        page,
        [0, "bot-transcription", {"text": "As I was say"}],
        [1, "bot-interrupted"],
        [2, "typed", "Stop", "m1"],
        [3, "error-response", {"error": "Unsupported type send-text"}, "m1"],
        [4, "error-response", {"error": "of somebody else"}, "m2"],
    )
    assert bot["isInterrupted"]
    assert typed["isTyped"]
    assert typed["problem"] == "Unsupported type send-text"


QUALITY: Final = """async (reports) => {
  const {readQuality} = await import("/client/quality.js");
  let last = null;
  for (const report of reports) last = readQuality(new Map(Object.entries(report)), last);
  return last;
}"""


def report(*, received: int, lost: int, rtt_s: float = 0.02, jitter_s: float = 0.004) -> dict:
    audio = {"packetsReceived": received, "packetsLost": lost, "jitter": jitter_s}
    return {
        "A": {"id": "A", "type": "inbound-rtp", "kind": "audio"} | audio,
        "T": {"id": "T", "type": "transport", "selectedCandidatePairId": "P"},
        "O": {"id": "O", "type": "candidate-pair", "currentRoundTripTime": 9},
        "P": {"id": "P", "type": "candidate-pair", "currentRoundTripTime": rtt_s},
    }


def test_loss_is_that_since_the_last_look(page: Page):
    quality = page.evaluate(
        QUALITY, [report(received=100, lost=50), report(received=196, lost=54, rtt_s=0.3)]
    )
    assert quality["lossPercent"] == pytest.approx(4.0)
    assert quality["rttMs"] == pytest.approx(300)
    assert quality["grade"] == "Fair"


def test_one_bad_figure_is_enough_for_a_bad_grade(page: Page):
    assert page.evaluate(QUALITY, [report(received=100, lost=0)])["grade"] == "Excellent"
    bad = report(received=100, lost=0, jitter_s=0.2)
    assert page.evaluate(QUALITY, [bad])["grade"] == "Poor"
    assert page.evaluate(QUALITY, [{}])["grade"] is None


ROWS: Final = """async ({page, server}) => {
  const {Timeline} = await import("/client/timeline.js");
  const timeline = new Timeline();
  for (const [name, atMs] of page) timeline.mark(name, atMs);
  for (const [name, atS] of server) timeline.serverStep(name, atS);
  return timeline.rows().map(({name, side, startMs, atMs}) => [side, name, startMs, atMs]);
}"""


def test_both_clocks_meet_where_the_answer_passes(page: Page):
    rows = page.evaluate(
        ROWS,
        {
            "page": [["offer_created", 10], ["answer_received", 40], ["answer_received", 99]],
            "server": [["accepted", 0.0], ["answer_sent", 0.025], ["ended", 3.0], ["ready", 20.0]],
        },
    )
    assert rows == [
        ["page", "offer_created", 0, 10],
        ["server", "accepted", 15, 15],
        ["page", "answer_received", 10, 40],
        ["server", "answer_sent", 15, 40],
    ]

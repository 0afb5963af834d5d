"""Our page and a real Offhook: a call from end to end."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext
from playwright.sync_api import Error as PlaywrightError

from offhook.services.espeak import synthesize

from .bots.echo import GREETING_HZ
from .page import ClientPage
from .server import EXAMPLES, Offhook, eventually, running_offhook
from .signals import MICROPHONE_HZ, is_near, write_speech
from .sound import RATE_HZ as RECORDING_HZ
from .sound import envelope, likeness

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.timeout(60)]

ALIKE = 0.75  # of loudness over time; of two different sentences it is below a half
SENTENCE = "Good morning parrot, I would like a window seat please."


@pytest.fixture
def client(echo_server: Offhook, context: BrowserContext) -> Iterator[ClientPage]:
    """Our page, served by a real Offhook; it may not have complained by the end."""
    client = ClientPage.opened(context.new_page(), f"{echo_server.url}/client/")
    yield client
    client.page.close()
    echo_server.wait_until_idle()
    assert client.complaints == []


def test_a_call_is_heard_on_both_sides(client: ClientPage):
    client.connect()
    client.wait_for_first_audio()
    heard = client.listen(3.5)
    for tone_hz in (GREETING_HZ, *MICROPHONE_HZ):
        assert any(is_near(each, tone_hz) for each in heard), f"{tone_hz} Hz was not heard"


def test_the_start_is_shown_with_the_steps_of_the_server(client: ClientPage):
    client.connect()
    client.wait_for_first_audio()
    client.page.locator('.step[data-side="server"][data-step="first_audio_out"]').wait_for()
    steps = client.steps("server")
    wanted = ["accepted", "admitted", "worker_leased", "bot_entered", "answer_sent"]
    assert [step for step in steps if step in wanted] == wanted


def test_hanging_up_ends_the_session_at_once_and_the_next_call_works(
    client: ClientPage, echo_server: Offhook
):
    for _ in range(2):
        client.connect()
        assert [each["state"] for each in echo_server.sessions()] == ["active"]
        client.disconnect()
        echo_server.wait_until_idle()
        assert echo_server.sessions(ended=1)[0]["end_reason"] == "client_left"


@pytest.mark.parametrize(
    ("order", "reason", "words"),
    [
        ("crash", "bot_crashed", "SIGSEGV"),
        ("raise", "bot_crashed", "RuntimeError"),
        ("finish", "bot_finished", "The bot ended the conversation."),
    ],
)
def test_however_the_bot_ends_the_page_says_why(
    client: ClientPage, echo_server: Offhook, order: str, reason: str, words: str
):
    client.connect()
    client.type(order)
    client.wait_for_end(reason)
    assert words in client.page.locator("#ending").inner_text()
    assert echo_server.sessions(ended=1)[0]["end_reason"] == reason


def test_a_crash_spares_the_neighbour(
    client: ClientPage, echo_server: Offhook, context: BrowserContext
):
    client.connect()
    neighbour = ClientPage.opened(context.new_page(), f"{echo_server.url}/client/")
    neighbour.connect()
    client.type("crash")
    client.wait_for_end("bot_crashed")
    assert neighbour.headline == "On the line"
    assert neighbour.listen(1.5)
    neighbour.disconnect()
    neighbour.page.close()


def test_when_all_lines_are_busy_the_page_says_so(
    client: ClientPage, echo_server: Offhook, context: BrowserContext
):
    pages = [ClientPage.opened(context.new_page(), f"{echo_server.url}/client/") for _ in range(2)]
    for page in pages:
        page.connect()
    client.page.locator("#dial").click()
    client.wait_for_state("ended", timeout_s=15)
    assert client.headline == "All lines are busy"
    client.wait_for_end("refused_busy")
    for page in pages:
        page.disconnect()
        page.page.close()
    echo_server.wait_until_idle()
    client.connect()


def test_an_operator_can_end_the_call(client: ClientPage, echo_server: Offhook):
    client.connect()
    session_id = echo_server.sessions()[0]["id"]
    httpx.delete(f"{echo_server.url}/sessions/{session_id}", timeout=15).raise_for_status()
    client.wait_for_end("stopped_by_operator")
    assert client.headline == "Ended by an operator"


@pytest.mark.timeout(120)
def test_twenty_calls_in_a_row_leave_nothing_behind(client: ClientPage, echo_server: Offhook):
    before = echo_server.descriptors_at_rest()
    for _ in range(20):
        client.connect()
        client.disconnect()
    after = echo_server.descriptors_at_rest()
    stayed = before.keys() & after.keys()
    assert len(stayed) == 3  # supervisor, server, template: warm workers are others by now
    assert {pid: after[pid] for pid in stayed} == {pid: before[pid] for pid in stayed}


def test_a_browser_that_dies_without_a_goodbye_is_noticed_in_ten_seconds(
    echo_server: Offhook, launch: Callable[[Path], Browser], microphone_file: Path
):
    others = set(psutil.Process().children(recursive=True))
    browser = launch(microphone_file)
    page = browser.new_context(permissions=["microphone"]).new_page()
    ClientPage.opened(page, f"{echo_server.url}/client/").connect()
    session_id = echo_server.sessions()[0]["id"]
    # Only what belongs to that browser: a warm worker may have been made meanwhile.
    for process in set(psutil.Process().children(recursive=True)) - others:
        with contextlib.suppress(psutil.NoSuchProcess):
            if "chrom" in process.name():
                process.kill()
    eventually(lambda: not echo_server.sessions(), timeout_s=10)
    ended = echo_server.sessions(ended=1)[0]
    assert ended["id"] == session_id
    assert ended["end_reason"] == "client_lost"
    with contextlib.suppress(PlaywrightError):
        browser.close()


@pytest.fixture
def parrot(tmp_path: Path) -> Iterator[Offhook]:
    with running_offhook(EXAMPLES / "parrot" / "bot.py", tmp_path / "offhook.log") as server:
        yield server


def test_the_parrot_greets_is_interrupted_and_repeats_what_was_said(
    parrot: Offhook, launch: Callable[[Path], Browser], tmp_path: Path
):
    pcm, rate_hz = synthesize(SENTENCE)
    sentence = np.frombuffer(pcm, "<i2")
    write_speech(tmp_path / "speech.wav", sentence, rate_hz, before_s=2.0, after_s=8.0)
    browser = launch(tmp_path / "speech.wav")
    try:
        page = browser.new_context(permissions=["microphone"]).new_page()
        client = ClientPage.opened(page, f"{parrot.url}/client/")
        client.connect()
        client.wait_for_first_audio()
        recording = client.record(len(sentence) / rate_hz * 2 + 3.5)
        spoken = [name for name in client.event_names("bot") if name.endswith("-speaking")]
        assert client.complaints == []
    finally:
        browser.close()
    assert spoken == [
        "bot-started-speaking",
        "user-started-speaking",
        "bot-stopped-speaking",
        "user-stopped-speaking",
        "bot-started-speaking",
        "bot-stopped-speaking",
    ]
    assert likeness(envelope(sentence, rate_hz), envelope(recording, RECORDING_HZ)) > ALIKE

"""A Chromium with a microphone of our making, and the page open in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

from .bundle import OFFICIAL, BundleMissingError, bundle
from .official_page import OfficialPage
from .page import TIMEOUT_MS, ClientPage
from .server import BOTS, Offhook, running_offhook
from .signals import write_pulses
from .standin import StandIn, running_standin

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
)


@pytest.fixture
def nothing_left_behind() -> None:
    """Chromium's own processes come and go as it likes: the common check cannot be made here."""


@pytest.fixture(scope="session")
def microphone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounds") / "microphone.wav"
    write_pulses(path)
    return path


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def launch(playwright: Playwright, chromium: str) -> Callable[[Path], Browser]:
    """Start a Chromium whose microphone plays this file, over and over."""

    def launch_one(microphone_file: Path) -> Browser:
        flags = [*CHROMIUM_FLAGS, f"--use-file-for-fake-audio-capture={microphone_file}"]
        return playwright.chromium.launch(executable_path=chromium, args=flags)

    return launch_one


@pytest.fixture(scope="session")
def browser(launch: Callable[[Path], Browser], microphone_file: Path) -> Iterator[Browser]:
    browser = launch(microphone_file)
    yield browser
    browser.close()


@pytest.fixture
def open_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Open a browser profile of its own; `microphone=False` denies it."""
    contexts = []

    def open_one(*, microphone: bool = True, **options) -> BrowserContext:
        context = browser.new_context(permissions=["microphone"] if microphone else [], **options)
        contexts.append(context)
        return context

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def context(browser: Browser) -> BrowserContext:
    """The profile of tests that want nothing special; one for each would take half their time."""
    return browser.new_context(permissions=["microphone"])


@pytest.fixture(scope="session")
def running() -> Iterator[StandIn]:
    with running_standin() as standin:
        yield standin


@pytest.fixture
def standin(running: StandIn) -> Iterator[StandIn]:
    yield running
    running.reset()


@pytest.fixture
def open_page(
    standin: StandIn, open_context: Callable[..., BrowserContext]
) -> Callable[..., ClientPage]:
    """Open our page in a profile of its own."""

    def open_one(**options) -> ClientPage:
        return ClientPage.opened(open_context(**options).new_page(), f"{standin.url}/client/")

    return open_one


@pytest.fixture
def client(standin: StandIn, context: BrowserContext) -> Iterator[ClientPage]:
    """Our page, open, with a microphone; it may not have complained by the end."""
    client = ClientPage.opened(context.new_page(), f"{standin.url}/client/")
    yield client
    client.page.close()
    assert client.complaints == []


@pytest.fixture(scope="session")
def echo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offhook]:
    """A real Offhook with room for two, with a bot that greets by a tone and echoes."""
    log = tmp_path_factory.mktemp("echo") / "offhook.log"
    with running_offhook(BOTS / "echo.py", log, "--max-sessions", "2") as server:
        yield server


@pytest.fixture(scope="session")
def official_bundle() -> Path:
    try:
        return bundle()
    except BundleMissingError as error:
        pytest.skip(str(error))


@pytest.fixture
def official(
    official_bundle: Path, echo_server: Offhook, context: BrowserContext
) -> Iterator[OfficialPage]:
    """A page of the server's own origin, whose files are ours."""
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    index = OFFICIAL / "index.html"
    page.route("**/official/", lambda route: route.fulfill(path=index))
    page.route("**/official/page.js", lambda route: route.fulfill(path=official_bundle))
    page.goto(f"{echo_server.url}/official/")
    page.locator("body[data-loaded]").wait_for(state="attached")
    official = OfficialPage(page)
    yield official
    official.disconnect()
    page.close()
    echo_server.wait_until_idle()

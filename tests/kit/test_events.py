import anyio
import anyio.lowlevel
import pytest
from tests.kit.fakes import StumbleError

from offhook.errors import UsageError
from offhook.kit import ErrorFrame
from offhook.kit.events import Events


class Runtime:
    """Runs handlers in a task group of the test's, and keeps what is reported."""

    has_audio_in = has_audio_out = False

    def __init__(self, group) -> None:
        self.group, self.reported = group, []

    def start_handler(self, work, *args) -> None:
        self.group.start_soon(work, *args)

    def report(self, error: ErrorFrame) -> None:
        self.reported.append(error)


@pytest.fixture
def events() -> Events:
    return Events("the source", ("on_a", "on_b"))


def test_an_unknown_event_is_refused_with_those_that_exist(events):
    with pytest.raises(UsageError, match=r"no event 'on_c'; there is on_a, on_b") as caught:
        events.event_handler("on_c")
    assert caught.value.code == "unknown_event"


def test_a_decorated_function_stays_what_it_was(events):
    async def handler(source): ...

    assert events.event_handler("on_a")(handler) is handler
    assert events.has_handler("on_a")
    assert not events.has_handler("on_b")


async def test_handlers_get_the_source_and_the_details(events):
    heard = []

    @events.event_handler("on_a")
    async def first(source, detail):
        heard.append((1, source, detail))

    @events.event_handler("on_a")
    def second(source, detail):
        heard.append((2, source, detail))

    async with anyio.create_task_group() as group:
        events.attach(Runtime(group))
        events.emit("on_a", "detail")
        events.emit("on_b", "nobody listens")
    assert heard == [(1, "the source", "detail"), (2, "the source", "detail")]


async def test_a_slow_handler_holds_up_nobody(events):
    slow, quick = anyio.Event(), anyio.Event()

    @events.event_handler("on_a")
    async def waits(source):
        await slow.wait()

    @events.event_handler("on_a")
    async def hurries(source):
        quick.set()

    async with anyio.create_task_group() as group:
        events.attach(Runtime(group))
        events.emit("on_a")
        with anyio.fail_after(1):
            await quick.wait()
        slow.set()


async def test_a_handler_that_raises_is_logged_and_reported_without_its_secrets(events, caplog):
    @events.event_handler("on_a")
    async def fails(source):
        raise StumbleError("secret")

    async with anyio.create_task_group() as group:
        runtime = Runtime(group)
        events.attach(runtime)
        events.emit("on_a")
    assert runtime.reported == [ErrorFrame("The bot's on_a handler failed (StumbleError).")]
    assert "secret" in caplog.text


async def test_called_handlers_run_one_after_the_other_and_raise(events):
    heard = []

    @events.event_handler("on_a")
    async def first(source):
        await anyio.lowlevel.checkpoint()
        heard.append(1)

    @events.event_handler("on_a")
    async def second(source):
        heard.append(2)
        raise StumbleError

    with pytest.raises(StumbleError):
        await events.call("on_a")
    assert heard == [1, 2]


def test_before_anything_runs_nothing_is_emitted(events):
    @events.event_handler("on_a")
    async def never(source):
        raise AssertionError

    events.emit("on_a")

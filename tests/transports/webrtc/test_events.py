"""Events of a connection and their handlers."""

from contextlib import asynccontextmanager

import anyio
import pytest

from offhook.errors import UsageError
from offhook.transports.webrtc.events import MESSAGES_LIMIT, Events


@asynccontextmanager
async def running(events: Events):
    ended = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(events.run, ended)
        yield ended
        ended.set()


def test_an_unknown_event_is_refused_with_the_list_of_those_that_exist():
    with pytest.raises(UsageError, match="'connected', 'disconnected', 'closed', 'app-message'"):
        Events(None, early_messages=1).handler("on_connected")


async def test_handlers_get_the_subject():
    events = Events("subject", early_messages=1)
    heard = []
    done = anyio.Event()

    @events.handler("connected")
    async def connected(subject):
        heard.append(subject)
        done.set()

    async with running(events):
        events.emit("connected")
        await done.wait()
    assert heard == ["subject"]


async def test_an_event_before_the_start_is_not_lost():
    events = Events(None, early_messages=1)
    done = anyio.Event()

    @events.handler("connected")
    async def connected(subject):
        done.set()

    events.emit("connected")
    async with running(events):
        with anyio.fail_after(1):
            await done.wait()


async def test_messages_are_kept_until_released_then_handled_in_order_one_at_a_time():
    events = Events(None, early_messages=50)
    heard, done = [], anyio.Event()
    busy = 0

    @events.handler("app-message")
    async def message_came(subject, message):
        nonlocal busy
        busy += 1
        assert busy == 1
        await anyio.lowlevel.checkpoint()
        heard.append(message["n"])
        busy -= 1
        if len(heard) == 5:
            done.set()

    async with running(events):
        for n in range(3):
            events.take({"n": n})
        await anyio.lowlevel.checkpoint()
        assert heard == []
        events.release()
        events.take({"n": 3})
        events.take({"n": 4})
        with anyio.fail_after(1):
            await done.wait()
    assert heard == [0, 1, 2, 3, 4]


async def test_only_so_many_early_messages_are_kept():
    events = Events(None, early_messages=2)
    heard, done = [], anyio.Event()

    @events.handler("app-message")
    async def message_came(subject, message):
        heard.append(message["n"])
        if message["n"] == 9:
            done.set()

    for n in range(5):
        events.take({"n": n})
    async with running(events):
        events.release()
        events.take({"n": 9})
        await done.wait()
    assert heard == [0, 1, 9]


async def test_a_slow_handler_does_not_make_the_line_of_messages_endless():
    events = Events(None, early_messages=1)
    heard, done = [], anyio.Event()

    @events.handler("app-message")
    async def message_came(subject, message):
        heard.append(message["n"])
        if len(heard) == MESSAGES_LIMIT:
            done.set()

    async with running(events):
        events.release()
        for n in range(MESSAGES_LIMIT + 5):
            events.take({"n": n})
        await done.wait()
        events.take({"n": "later"})
    assert heard[:MESSAGES_LIMIT] == list(range(MESSAGES_LIMIT))
    assert MESSAGES_LIMIT not in heard


async def test_a_handler_that_fails_or_hangs_stops_no_other():
    events = Events(None, early_messages=50)
    done = anyio.Event()

    @events.handler("connected")
    async def hang(subject):
        await anyio.sleep_forever()

    @events.handler("connected")
    async def fail(subject):
        raise ZeroDivisionError

    @events.handler("app-message")
    async def fail_too(subject, message):
        if message["n"] == 1:
            raise ZeroDivisionError
        done.set()

    async with running(events):
        events.emit("connected")
        events.release()
        events.take({"n": 1})
        events.take({"n": 2})
        with anyio.fail_after(1):
            await done.wait()


async def test_handlers_of_the_end_are_given_a_moment_and_no_more():
    events = Events(None, early_messages=50)
    heard = []

    @events.handler("closed")
    async def quick(subject):
        await anyio.sleep(0.01)
        heard.append("quick")

    @events.handler("closed")
    async def endless(subject):
        await anyio.sleep_forever()

    with anyio.fail_after(3):
        async with running(events):
            await anyio.lowlevel.checkpoint()
            events.emit("closed")
    assert heard == ["quick"]

"""A worker: what it does before, with and without a session."""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from tests.worker.family import Template

from offhook.channel import Channel, send_record, socket_pair
from offhook.kit.arguments import RunnerArguments
from offhook.protocol.control import (
    AnyMessage,
    CloseSession,
    Heartbeat,
    SessionEnded,
    SessionSettings,
    StartBot,
    WorkerReady,
)
from offhook.worker.main import serve

PROBE = Path(__file__).parent / "bots" / "probe.py"
START = StartBot(session_id="local~x", kind="webrtc")


async def returns(_: RunnerArguments) -> None:
    pass


async def raises(_: RunnerArguments) -> None:
    raise ValueError


async def served(
    *orders: AnyMessage,
    bot: Callable[[RunnerArguments], Awaitable[object]] = returns,
    rehearse: bool = False,
) -> tuple[int, list[AnyMessage]]:
    """Serve one who sends these and then leaves; return the exit code and what was said."""
    ours, theirs = socket_pair()
    codes: list[int] = []

    async def work(channel: Channel) -> None:
        codes.append(await serve(channel, bot, SessionSettings(), rehearse))

    with Channel(ours) as server, Channel(theirs) as channel:
        async with anyio.create_task_group() as group:
            group.start_soon(work, channel)
            with anyio.fail_after(15):
                said = [(await server.receive()).message]
            for order in orders:
                server.send(order)
            if not orders:
                server.close()
        return codes[0], said + (server.drain() if orders else [])


async def test_it_says_that_it_is_ready_and_leaves_when_it_is_not_needed() -> None:
    code, said = await served()
    assert code == 0
    assert said == [WorkerReady(pid=os.getpid(), rehearsed_ms=said[0].rehearsed_ms)]  # type: ignore[union-attr]


async def test_it_rehearses_before_it_says_so() -> None:
    _, (ready,) = await served(rehearse=True)
    assert isinstance(ready, WorkerReady)
    assert ready.rehearsed_ms > 0.5


async def test_one_that_is_gone_before_it_is_ready_is_no_error() -> None:
    ours, theirs = socket_pair()
    ours.close()
    with Channel(theirs) as channel:
        assert await serve(channel, returns, SessionSettings(), False) == 0


async def test_its_one_session_runs_and_it_ends_in_order() -> None:
    code, said = await served(START)
    assert code == 0
    assert said[-1] == SessionEnded(reason="bot_finished")


async def test_a_bot_that_crashed_is_seen_in_the_exit_code() -> None:
    code, said = await served(START, bot=raises)
    assert code == 1
    assert said[-1] == SessionEnded(reason="bot_crashed", detail="ValueError")


async def test_a_session_that_was_ended_by_the_server_is_in_order() -> None:
    async def waits(_: RunnerArguments) -> None:
        await anyio.sleep_forever()

    close = CloseSession(reason="drained", words="", grace_s=1)
    code, said = await served(START, close, bot=waits)
    assert code == 0
    assert said[-1] == SessionEnded(reason="drained")


async def test_without_a_session_as_its_first_order_it_refuses_to_go_on() -> None:
    code, said = await served(Heartbeat(lag_ms=0))
    assert code == 1
    assert len(said) == 1


# In a process of its own


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("bot") / "bot.py"
    path.write_text(
        "import ctypes, logging, os, time\n"
        "from offhook.worker import main\n"
        "async def stumble():\n    raise OSError('stumbled in rehearsal')\n"
        "main.rehearse_now = stumble\n"
        "async def bot(runner_args):\n"
        "    match runner_args.body['do']:\n"
        "        case 'raise': raise ValueError('the author sees this')\n"
        "        case 'log': logging.getLogger('mine').info('a line of mine')\n"
        "        case 'chatter': logging.getLogger('aioice.ice').info('not of interest')\n"
        "        case 'block':\n            print('blocking')\n            time.sleep(60)\n"
        "        case 'segfault': ctypes.string_at(0)\n"
    )
    with Template(path) as template:
        template.ready()
        yield template


@pytest.mark.process
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("order", "code", "printed"),
    [
        ("raise", 1, "ValueError: the author sees this"),
        ("log", 0, "INFO mine: a line of mine\n"),
        ("segfault", -signal.SIGSEGV, "Fatal Python error: Segmentation fault"),
    ],
)
def test_what_it_prints_and_how_it_ends_is_what_its_bot_did(
    template: Template, order: str, code: int, printed: str
) -> None:
    with template.worker() as worker:
        worker.ready()
        worker.start(do=order)
        assert worker.reap() == code
        assert printed in worker.printed.decode()


@pytest.mark.process
@pytest.mark.timeout(60)
def test_the_libraries_below_do_not_chatter(template: Template) -> None:
    with template.worker() as worker:
        assert worker.run(do="chatter").reason == "bot_finished"
        worker.reap()
        assert worker.printed == b""


@pytest.mark.process
@pytest.mark.timeout(60)
def test_one_that_blocks_shows_its_stacks_when_it_is_asked(template: Template) -> None:
    with template.worker() as worker:
        worker.ready()
        worker.start(do="block")
        printed = b""
        while b"blocking\n" not in printed:
            printed += worker.read()
        os.kill(worker.pid, signal.SIGUSR1)
        while b"in bot" not in printed:
            printed += worker.read()
        os.kill(worker.pid, signal.SIGTERM)
        assert worker.reap() == -signal.SIGTERM


@pytest.mark.process
@pytest.mark.timeout(60)
def test_one_that_stumbles_in_its_rehearsal_ends_before_it_is_ready(template: Template) -> None:
    with template.worker(rehearse=True) as worker:
        assert worker.reap() == 1
        assert "worker failed" in worker.printed.decode()
        assert "stumbled in rehearsal" in worker.printed.decode()


@pytest.mark.process
@pytest.mark.timeout(60)
def test_one_whose_server_leaves_ends_by_itself(template: Template) -> None:
    with template.worker() as worker:
        worker.ready()
        worker.channel.close()
        assert worker.reap() == 0
        assert worker.printed == b""


@pytest.mark.process
@pytest.mark.timeout(60)
def test_one_that_is_told_something_else_first_says_so(template: Template) -> None:
    with template.worker() as worker:
        worker.ready()
        send_record(worker.channel, Heartbeat(lag_ms=0))
        assert worker.reap() == 1
        assert "first message is no StartBot" in worker.printed.decode()

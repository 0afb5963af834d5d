"""Server and bots in one process: the same sessions, as tasks."""

import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from tests.worker.test_load import write

from offhook.cli.in_process import InProcess
from offhook.clock import SystemClock
from offhook.ids import SessionId
from offhook.protocol.control import (
    AnyMessage,
    Progress,
    SessionEnded,
    SessionSettings,
    StartBot,
    TemplateReady,
)
from offhook.server.pool.pool import Lease, Pool
from offhook.server.pool.process import WorkerExit
from offhook.testing.server import running

BOT = (
    "import anyio\n"
    "warmed = []\n"
    "def prewarm(): warmed.append(1)\n"
    "async def bot(runner_args):\n"
    "    match runner_args.body['do']:\n"
    "        case 'raise': raise ValueError('a mistake of the bot')\n"
    "        case 'wait': await anyio.sleep_forever()\n"
)
READY = TemplateReady(
    generation=1, pid=1, python="", threads=1, rss_bytes=0, preload_ms=0.0, bot=""
)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[InProcess]:
    path = list(sys.path)
    yield InProcess(write(tmp_path, BOT), SessionSettings())
    sys.path[:] = path
    del sys.modules["bot"]


@asynccontextmanager
async def pool_of(source: InProcess) -> AsyncIterator[Pool]:
    pool = source.pool = Pool(clock=SystemClock(), source=source, warm=1)
    async with anyio.create_task_group() as source.group, pool.running():
        pool.template_reported(READY)
        yield pool


async def lease_and_start(pool: Pool, order: str) -> Lease:
    lease = await pool.lease(session_id=SessionId("local~x"), timeout_s=10)
    body = f'{{"do": "{order}"}}'.encode()
    lease.send(StartBot(session_id="local~x", kind="webrtc", body=body))
    return lease


async def last_word(lease: Lease) -> AnyMessage:
    with anyio.fail_after(10):
        while isinstance(message := await lease.receive(), Progress):
            pass
    return message


async def test_a_session_is_a_task_and_ends_like_a_process(source: InProcess) -> None:
    async with pool_of(source) as pool:
        lease = await lease_and_start(pool, "return")
        assert await last_word(lease) == SessionEnded(reason="bot_finished")
        assert await lease.exited() == WorkerExit(exit_code=0)
        assert sys.modules["bot"].warmed == [1]


async def test_a_bot_that_raises_ends_its_own_session_only(source: InProcess) -> None:
    async with pool_of(source) as pool:
        neighbour = await lease_and_start(pool, "wait")
        lease = await lease_and_start(pool, "raise")
        assert await last_word(lease) == SessionEnded(reason="bot_crashed", detail="ValueError")
        assert await lease.exited() == WorkerExit(exit_code=1)
        neighbour.kill()
        assert await neighbour.exited() == WorkerExit(exit_code=0)


async def test_the_end_of_the_pool_ends_whoever_still_talks(source: InProcess) -> None:
    with anyio.fail_after(1.5):  # less than the pool would wait for one that does not end
        async with pool_of(source) as pool:
            lease = await lease_and_start(pool, "wait")
    assert await lease.exited() == WorkerExit(exit_code=0)


@pytest.mark.process
@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(tmp_path: Path, number: int) -> None:
    with running(write(tmp_path, BOT), "--isolation", "none") as server:
        assert server.descendants() == {}
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
        server.send_signal(number)
        assert server.wait() == 0

"""Calls that are over, and calls that never came, leave nothing behind."""

import time
from collections.abc import Callable
from pathlib import Path

import anyio.to_thread
import pytest
from tests.bench.asking import Client
from tests.bench.process import Family, memory, threads, wait_for

from offhook.testing.server import OffhookProcess

from .caller import calling
from .conftest import with_flags

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

OFFER = Path(__file__).parents[1] / "wire" / "sdp" / "valid" / "bare-telephone.sdp"
CALLS = 20
STARTS = 10_000


def files_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def holdings(server: OffhookProcess) -> dict[str, int]:
    """What the lasting processes hold, and how many processes there are."""
    family = Family(server)
    lasting = {
        "supervisor": family.supervisor,
        "server": family.server,
        "template": family.template,
    }
    found = {"processes": len(server.descendants())}
    for name, pid in lasting.items():
        found[f"files of the {name}"] = files_of(pid)
        found[f"threads of the {name}"] = threads(pid)
    return found


async def call_and_hang_up(url: str) -> None:
    async with calling(url) as caller:
        await caller.until(lambda: caller.heard_at)
        await caller.peer.close()
        ended = await caller.ended()
    assert ended["end_reason"] == "client_left"


def settled(server: OffhookProcess) -> dict[str, int]:
    """Return what is held once nothing moves any more."""
    Family(server).wait_until_warm(2)
    # Kept connections of clients that are gone are closed within the server's keep-alive time.
    wait_for(lambda: established(Family(server).server) == 0, "clients to be forgotten")
    return holdings(server)


def established(pid: int) -> int:
    """Count a process's TCP connections."""
    inodes = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return sum(line[3] != "0A" and f"socket:[{line[9]}]" in inodes for line in lines)


async def test_twenty_calls_in_a_row_leave_no_process_no_file_and_no_thread_behind(
    server: OffhookProcess,
) -> None:
    await call_and_hang_up(server.url)
    before = await anyio.to_thread.run_sync(settled, server)
    assert before["processes"] == 4  # server, template and two warm workers
    for _ in range(CALLS):
        await call_and_hang_up(server.url)
    assert await anyio.to_thread.run_sync(settled, server) == before


@with_flags("--isolation", "none")
async def test_twenty_calls_in_one_process_leave_no_task_behind(own_server: OffhookProcess) -> None:
    server = own_server

    async def list_tasks() -> str:
        """Have a bot list the tasks of its process: the server's are among them."""
        seen = len(server.output())
        async with calling(server.url, body={"do": "list-tasks"}) as caller:
            await anyio.to_thread.run_sync(
                wait_for, lambda: "tasks: " in server.output()[seen:], "the list"
            )
            await caller.peer.close()
            await caller.ended()
        return server.output()[seen:].partition("tasks: ")[2].partition("\n")[0]

    async with calling(server.url, hz=700) as caller:  # which is as good as any other
        await caller.until(lambda: len(caller.heard_at) > 40)
        assert caller.pitch_hz() == pytest.approx(700, abs=5)
        await caller.peer.close()
        await caller.ended()
    before = await list_tasks()
    assert "LifespanOn.main" in before
    for _ in range(CALLS):
        await call_and_hang_up(server.url)
    for _ in range(3):  # the last call's may still be about to end
        after = await list_tasks()
        if after == before:
            break
    assert after == before


def grown_mib(server: OffhookProcess, ask: Callable[[], None]) -> float:
    """By how much the server's own memory has grown when it is at rest again."""
    pid = Family(server).server
    before = memory(pid).uss
    ask()
    return memory(pid).uss - before


def test_ten_thousand_abandoned_starts_expire_and_cost_no_memory(
    strict_server: OffhookProcess,
) -> None:
    client = Client(strict_server.url)
    start = client.prepare("POST", "/start", {"body": {"text": "x" * 500}})

    def ask(count: int) -> str:
        for _ in range(count):
            exchange = client.ask(start)
        session_id: str = exchange.json()["sessionId"]
        return session_id

    def offer(session_id: str) -> int:
        content = {"sdp": OFFER.read_text(), "type": "offer"}
        path = f"/sessions/{session_id}/api/offer"
        return client.ask(client.prepare("POST", path, content)).status

    ask(2000)  # as many as are ever kept, and more: the memory that this takes stays
    grown = grown_mib(strict_server, lambda: ask(STARTS))
    assert grown < 2.0  # kept, they would hold ten
    last = ask(1)
    time.sleep(1.1)
    assert offer(last) == 404
    assert offer(session_id := ask(1)) == 200
    assert client.ask(client.prepare("DELETE", f"/sessions/{session_id}")).status == 200
    client.close()

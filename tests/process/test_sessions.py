"""Sessions in real workers, called by a stock peer: what one bot does, and what others notice."""

import os
import signal

import anyio
import psutil
import pytest
from tests.bench.process import wait_for

from offhook.server.config import Config
from offhook.testing.server import OffhookProcess

from .caller import Caller, calling
from .conftest import STRICT, with_flags

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]


async def wait(server: OffhookProcess, timeout_s: float = 15) -> int:
    return await anyio.to_thread.run_sync(server.wait, timeout_s)


async def test_an_echo_comes_back_with_the_same_pitch(server: OffhookProcess) -> None:
    async with calling(server.url, hz=600) as caller:
        await caller.until(lambda: len(caller.heard_at) > 60)
        assert caller.pitch_hz() == pytest.approx(600, abs=5)
        session = await caller.session()
        assert session["state"] == "active"
        steps = [each["step"] for each in session["timeline"]]
        assert steps[:5] == ["accepted", "admitted", "worker_leased", "bot_entered", "answer_sent"]
        times = [each["at_s"] for each in session["timeline"]]
        assert times == sorted(times)
        pid = session["pid"]
        assert pid in server.descendants()


async def test_a_caller_who_hangs_up_ends_the_session_and_its_process(
    server: OffhookProcess,
) -> None:
    async with calling(server.url) as caller:
        pid = (await caller.session())["pid"]
        await caller.peer.close()
        ended = await caller.ended()
    assert ended["state"] == "ended"
    assert ended["end_reason"] == "client_left"
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("order", "detail", "traceback"),
    [
        ("raise", "ValueError", "the bot's secret words"),
        ("leave 7", "exit code 7", ""),
        ("exit 3", "exit code 3", ""),
        ("segfault", "signal SIGSEGV", "Fatal Python error: Segmentation fault"),
        ("kill", "signal SIGKILL", ""),
    ],
)
@pytest.mark.parametrize("moment", ["", "at once: "])
async def test_a_bot_that_dies_ends_its_own_session_with_the_reason(
    server: OffhookProcess, moment: str, order: str, detail: str, traceback: str
) -> None:
    async with calling(server.url) as neighbour:
        caller = Caller(server.url, body={"do": moment + order})
        await caller.start()
        with anyio.move_on_after(5):
            await caller.call() if not moment else await caller.offer()
        ended = await caller.ended()
        assert ended["end_reason"] == "bot_crashed"
        assert ended["end_detail"] == detail
        assert detail in ended["end_words"]
        assert traceback in await caller.log()
        assert "secret words" not in ended["end_words"]
        # An official client, which comes back after some seconds, is told in words.
        late = await caller.offer_anew()
        assert late.status_code == 410
        assert detail in late.json()["detail"]
        await caller.hang_up()
        heard = len(neighbour.heard_at)
        await neighbour.until(lambda: len(neighbour.heard_at) > heard + 10)
        assert (await neighbour.session())["state"] == "active"


async def test_a_bot_that_raises_says_so_in_words_before_it_goes(server: OffhookProcess) -> None:
    async with calling(server.url, body={"do": "raise"}) as caller:
        await caller.until(lambda: "peerLeft" in caller.types())
        error = caller.messages[caller.types().index("error")]
        assert error["data"]["fatal"] is True
        assert "The bot crashed (ValueError)." in error["data"]["error"]
        assert caller.types()[-2:] == ["error", "peerLeft"]


async def test_a_bot_that_raises_at_once_is_still_heard(server: OffhookProcess) -> None:
    caller = Caller(server.url, body={"do": "at once: raise"})
    await caller.start()
    response = await caller.offer()
    assert response.status_code == 502
    assert "The bot crashed (ValueError)." in response.json()["detail"]
    await caller.hang_up()


async def test_a_bot_that_finishes_says_goodbye(server: OffhookProcess) -> None:
    async with calling(server.url, body={"do": "finish"}) as caller:
        await caller.until(lambda: "peerLeft" in caller.types())
        assert "error" not in caller.types()
        assert (await caller.ended())["end_reason"] == "bot_finished"


async def test_a_bot_that_blocks_comes_back_to_its_caller(server: OffhookProcess) -> None:
    async with calling(server.url, body={"do": "block 1"}) as caller:
        await caller.until(lambda: len(caller.heard_at) > 20)
        assert (await caller.session())["state"] == "active"


async def test_an_operator_ends_a_session_and_the_caller_is_told(server: OffhookProcess) -> None:
    async with calling(server.url) as caller:
        response = await caller.http.delete(f"/sessions/{caller.session_id}")
        assert response.status_code == 200
        await caller.until(lambda: "peerLeft" in caller.types())
        error = caller.messages[caller.types().index("error")]
        assert "operator" in error["data"]["error"]
        assert (await caller.session())["end_reason"] == "stopped_by_operator"
        again = await caller.http.delete(f"/sessions/{caller.session_id}")
        assert again.status_code == 410


async def test_a_new_peer_connection_goes_on_with_the_same_bot(server: OffhookProcess) -> None:
    async with calling(server.url) as caller:
        before = await caller.session()
        first_pc_id = caller.pc_id
        await caller.restart()
        heard = len(caller.heard_at)
        await caller.until(lambda: len(caller.heard_at) > heard + 50)
        after = await caller.session()
        assert after["pid"] == before["pid"]
        assert after["state"] == "active"
        assert caller.pc_id != first_pc_id
        assert "peer_connection_restarted" in [each["step"] for each in after["timeline"]]


async def test_a_caller_who_vanishes_is_noticed_soon_after_the_time_that_is_set(
    strict_server: OffhookProcess,
) -> None:
    margin_s = 3.0
    async with calling(strict_server.url) as caller:
        caller.vanish()
        with anyio.fail_after(float(STRICT["--client-lost-after-s"]) + margin_s):
            ended = await caller.ended()
    assert ended["end_reason"] == "client_lost"
    assert Config().client_lost_after_s + margin_s <= 10


async def test_what_a_bot_started_ends_with_its_session(server: OffhookProcess) -> None:
    async with calling(server.url, body={"do": "start-a-child"}) as caller:
        await caller.until(lambda: "server-message" in caller.types())
        pid = (await caller.session())["pid"]
        (child,) = psutil.Process(pid).children()
        os.kill(pid, signal.SIGKILL)
        await caller.ended()
        await anyio.to_thread.run_sync(wait_for, lambda: not child.is_running(), "the child's end")


async def test_a_bot_that_hangs_in_its_end_is_killed_and_its_stacks_are_in_the_log(
    strict_server: OffhookProcess,
) -> None:
    async with calling(strict_server.url, body={"do": "hang"}) as caller:
        await caller.log(until="hanging")
        await caller.http.delete(f"/sessions/{caller.session_id}")
        ended = await caller.ended()
        log = await caller.log()
    assert ended["end_reason"] == "stopped_by_operator"
    assert "raw.py" in log
    assert "in obey" in log


async def test_the_limit_is_exact_when_many_start_at_once(strict_server: OffhookProcess) -> None:
    callers = [Caller(strict_server.url) for _ in range(8)]
    codes: list[int] = []

    async def try_to_call(caller: Caller) -> None:
        codes.append((await caller.offer()).status_code)

    async with anyio.create_task_group() as group:
        for caller in callers:
            group.start_soon(try_to_call, caller)
    assert sorted(codes) == [200] * 3 + [429] * 5
    refused = await callers[0].http.post("/start", json={})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    sessions = (await callers[0].http.get("/sessions")).json()["sessions"]
    assert len(sessions) == 3
    async with anyio.create_task_group() as group:
        for session in sessions:
            group.start_soon(callers[0].http.delete, f"/sessions/{session['id']}")
    for caller in callers:
        await caller.hang_up()


@with_flags()
async def test_ctrl_c_ends_live_sessions_in_words(own_server: OffhookProcess) -> None:
    async with calling(own_server.url) as caller:
        own_server.send_signal(signal.SIGINT)
        await caller.until(lambda: "peerLeft" in caller.types(), timeout_s=5)
        error = caller.messages[caller.types().index("error")]
        assert "shutting down" in error["data"]["error"]
        assert await wait(own_server) == 0


@with_flags("--close-timeout-s", "20")
async def test_a_second_ctrl_c_ends_at_once(own_server: OffhookProcess) -> None:
    async with calling(own_server.url, body={"do": "hang"}) as caller:
        await caller.log(until="hanging")
        own_server.send_signal(signal.SIGINT)
        await caller.refused()
        own_server.send_signal(signal.SIGINT)
        assert await wait(own_server, 4) == 0


@with_flags("--start-method", "spawn")
async def test_spawned_workers_talk_as_well(own_server: OffhookProcess) -> None:
    for hz in (500, 700):
        async with calling(own_server.url, hz=hz) as caller:
            await caller.until(lambda heard=caller.heard_at: len(heard) > 40)
            assert caller.pitch_hz() == pytest.approx(hz, abs=5)
            await caller.peer.close()
            assert (await caller.ended())["end_reason"] == "client_left"

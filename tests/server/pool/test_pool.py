"""The set of workers, which are tasks here: leases, deadlines, losses, the end."""

import contextlib
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.server.pool.fakes import NO_PID, FakeClock, FakeTemplate, FakeWorker, settle, until

from offhook.errors import WorkerError
from offhook.ids import SessionId, WorkerId
from offhook.protocol.control import CloseSession, Heartbeat, SessionEnded, WorkerForked
from offhook.server.pool.pool import EARLY_EXITS_LIMIT, Lease, Pool, PoolExhaustedError
from offhook.server.pool.process import WorkerExit
from offhook.server.pool.state import (
    FIRST_PAUSE_S,
    MAX_STARTING,
    START_QUIET_S,
    START_TIMEOUT_S,
    Phase,
)

S1, S2 = SessionId("local~1"), SessionId("local~2")
LONG_S = 10.0


class Play:
    """A pool that runs, and who is around it."""

    def __init__(self, pool: Pool, template: FakeTemplate, clock: FakeClock) -> None:
        self.pool, self.template, self.clock = pool, template, clock

    @property
    def workers(self) -> list[FakeWorker]:
        return self.template.workers

    async def lease(self, session_id: SessionId = S1, timeout_s: float = LONG_S) -> Lease:
        return await self.pool.lease(session_id=session_id, timeout_s=timeout_s)

    async def warm(self, count: int) -> None:
        await until(lambda: self.pool.count(Phase.IDLE) == count)

    def counts(self) -> tuple[int, int, int]:
        phases = (Phase.STARTING, Phase.IDLE, Phase.LEASED)
        starting, idle, leased = (self.pool.count(phase) for phase in phases)
        return starting, idle, leased


@asynccontextmanager
async def playing(*, warm: int = 1, is_up: bool = True) -> AsyncIterator[Play]:
    clock, template = FakeClock(), FakeTemplate()
    pool = template.pool = Pool(clock=clock, source=template, warm=warm)
    async with template.running(), pool.running():
        if is_up:
            template.up()
        yield Play(pool, template, clock)


# Leases


async def test_a_warm_worker_is_leased_once_and_replaced() -> None:
    async with playing(warm=2) as play:
        await play.warm(2)
        one, other = await play.lease(S1), await play.lease(S2)
        assert one.worker_id != other.worker_id
        assert (one.session_id, other.session_id) == (S1, S2)
        play.clock.hands += START_QUIET_S
        await play.warm(2)
        assert play.counts() == (0, 2, 2)


async def test_a_lease_speaks_with_its_own_worker() -> None:
    async with playing() as play:
        lease = await play.lease()
        (worker,) = [each for each in play.workers if each.worker_id == lease.worker_id]
        assert lease.pid == worker.pid
        lease.send(CloseSession(reason="drained", words="", grace_s=1))
        worker.channel.send(Heartbeat(lag_ms=1))
        assert await lease.receive() == Heartbeat(lag_ms=1)
        await until(lambda: worker.got)
        worker.end()
        assert await lease.receive() == SessionEnded(reason="bot_finished")
        play.template.exit(worker, exit_code=0)
        assert await lease.exited() == WorkerExit(exit_code=0)


async def test_who_waits_gets_a_worker_that_was_made_for_it_without_rehearsal() -> None:
    async with playing(warm=0) as play:
        await settle()
        assert play.workers == []
        assert (await play.lease()).worker_id == "w1"
        assert [each.is_rehearsed for each in play.workers] == [False]


async def test_many_who_ask_at_once_are_all_served_and_few_boot_at_a_time() -> None:
    async with playing(warm=1) as play:
        got: list[WorkerId] = []

        async def ask(number: int) -> None:
            lease = await play.lease(SessionId(f"local~{number}"))
            assert play.pool.count(Phase.STARTING) <= MAX_STARTING
            got.append(lease.worker_id)

        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(ask, number)
        assert len(set(got)) == 30


async def test_a_lease_that_comes_not_in_time_is_refused_and_takes_no_worker_later() -> None:
    async with playing(warm=0) as play:
        play.template.boots = False
        with pytest.raises(PoolExhaustedError, match=r"within 0.01 s") as caught:
            await play.lease(timeout_s=0.01)
        assert isinstance(caught.value, WorkerError)
        assert caught.value.waited_s == pytest.approx(0.01)
        (late,) = play.workers
        late.channel.send(play.template.first_words)
        await play.warm(1)
        assert (await play.lease(S2)).worker_id == late.worker_id


async def test_a_cancelled_lease_takes_no_worker() -> None:
    async with playing(warm=0) as play:
        play.template.boots = False
        with anyio.move_on_after(0.01):
            await play.lease()
        play.workers[0].channel.send(play.template.first_words)
        await play.warm(1)
        assert play.counts() == (0, 1, 0)


async def test_a_worker_that_is_granted_while_the_asking_is_cancelled_is_not_leaked() -> None:
    async with playing(warm=1) as play:
        await play.warm(1)
        first = play.workers[0]
        with anyio.CancelScope() as scope:
            scope.cancel()
            await play.lease()
        await until(lambda: first.output_fd < 0)  # it had a session, so it is used up
        play.clock.hands += START_QUIET_S
        await play.warm(1)
        assert play.counts() == (0, 1, 0)


async def test_a_lease_without_a_template_waits_for_the_next_one() -> None:
    async with playing(is_up=False) as play:
        async with anyio.create_task_group() as group:
            leased: list[Lease] = []

            async def ask() -> None:
                leased.append(await play.lease())

            group.start_soon(ask)
            await settle()
            assert play.workers == []
            play.template.up()
        assert leased[0].worker_id == "w1"


# Readiness


async def test_it_is_ready_when_a_first_worker_is_warm() -> None:
    async with playing(is_up=False) as play:
        assert not play.pool.is_ready()
        play.template.boots = False
        play.template.up()
        await settle()
        assert not play.pool.is_ready()
        play.workers[0].channel.send(play.template.first_words)
        with anyio.fail_after(LONG_S):
            await play.pool.first_ready()
        assert play.pool.is_ready()


async def test_without_warm_workers_it_is_ready_with_its_template() -> None:
    async with playing(warm=0, is_up=False) as play:
        assert not play.pool.is_ready()
        play.template.up()
        assert play.pool.is_ready()


# Templates


async def test_without_a_template_the_warm_ones_are_leased_and_not_replaced() -> None:
    async with playing() as play:
        await play.warm(1)
        play.template.is_up = False
        play.pool.template_exited()
        assert play.pool.is_ready()
        await play.lease()
        assert not play.pool.is_ready()
        assert play.counts() == (0, 0, 1)
        play.template.is_up = True
        play.clock.hands += START_QUIET_S
        play.template.up(2)
        await play.warm(1)


async def test_a_template_that_dies_before_it_reports_a_fork_takes_that_worker_along() -> None:
    async with playing() as play:
        play.template.reports = play.template.boots = False
        play.pool.template_exited()
        play.template.up(2)
        await until(lambda: len(play.workers) == 1)
        play.template.is_up = False
        play.pool.template_exited()
        await until(lambda: play.counts() == (0, 0, 0))


async def test_a_new_template_replaces_the_warm_workers_of_the_old_one() -> None:
    async with playing() as play:
        await play.warm(1)
        play.template.up(2)
        await until(lambda: play.workers[0].output_fd < 0)
        await play.warm(1)
        assert (await play.lease()).worker_id == "w2"


async def test_a_fork_for_which_the_template_has_gone_is_tried_again_with_pauses() -> None:
    async with playing(is_up=False) as play:
        play.template.is_up = False
        play.template.up()
        await until(lambda: not play.pool.is_ready() and play.counts() == (0, 0, 0))
        play.template.is_up = True
        play.template.up(2)
        await play.warm(1)


async def test_a_fork_that_fails_is_said_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with playing(is_up=False) as play:
        play.template.problem = "Cannot allocate memory"
        play.template.up()
        await until(lambda: play.counts() == (0, 0, 0))
        assert caplog.text.count("fork failed") == 2  # then it pauses
        assert not play.pool.is_ready()
        play.template.problem = ""
        play.clock.hands += FIRST_PAUSE_S
        await play.warm(1)
        assert play.pool.is_ready()


@contextlib.contextmanager
def no_descriptor_left(spare: int) -> Iterator[None]:
    """A process that may open only a few more files."""
    found = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull, "rb") as probe:  # noqa: PTH123 -- the lowest free number
        lowest = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, found[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, found)


@pytest.mark.parametrize("spare", [0, 2])  # for no socket; for the sockets but no pipe
async def test_without_descriptors_no_worker_is_made_and_the_server_goes_on(spare: int) -> None:
    async with playing(warm=0) as play:
        await settle()
        with no_descriptor_left(spare), pytest.raises(PoolExhaustedError):
            await play.lease(timeout_s=0.01)
        assert play.workers == []
        play.template.up(2)
        await play.lease()


# Workers that stumble


async def test_a_worker_that_does_not_boot_in_time_is_killed_and_replaced() -> None:
    async with playing() as play:
        play.template.boots = False
        play.pool.template_exited()
        play.template.up(2)
        await until(lambda: len(play.workers) == 2)
        await settle()
        play.template.boots = True
        play.clock.hands += START_TIMEOUT_S
        play.template.up(3)  # any news has it look at the clock
        await until(lambda: play.workers[1].output_fd < 0)
        await play.warm(1)
        assert play.pool.count(Phase.STARTING) == 0


async def test_a_worker_that_says_something_else_first_is_killed_and_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with playing(is_up=False) as play:
        play.template.first_words = Heartbeat(lag_ms=0)
        play.template.up()
        await until(lambda: play.workers and play.workers[0].output_fd < 0)
        assert "did not say that it is ready" in caplog.text


async def test_a_warm_worker_that_dies_is_replaced() -> None:
    async with playing() as play:
        await play.warm(1)
        play.template.exit(play.workers[0], signal=11)
        await until(lambda: len(play.workers) == 2)
        await play.warm(1)
        assert (await play.lease()).worker_id == "w2"


async def test_the_exit_of_a_leased_worker_is_told_to_its_session_alone() -> None:
    async with playing(warm=2) as play:
        one, other = await play.lease(S1), await play.lease(S2)
        (worker,) = [each for each in play.workers if each.worker_id == one.worker_id]
        play.template.exit(worker, signal=11)
        assert await one.exited() == WorkerExit(signal=11)
        other.send(Heartbeat(lag_ms=0))
        with pytest.raises(anyio.EndOfStream):
            await one.receive()


# The order of reports


async def test_an_exit_that_is_reported_before_the_fork_counts_all_the_same() -> None:
    async with playing(is_up=False) as play:
        play.template.reports = play.template.boots = False
        play.template.up()
        await until(lambda: play.workers)
        (worker,) = play.workers
        play.template.exit(worker, exit_code=3)
        assert play.pool.count(Phase.STARTING) == 1
        play.template.boots = True
        play.template.report(worker)
        await until(lambda: len(play.workers) == 2)


async def test_a_stranger_with_a_pid_that_a_worker_gets_later_does_not_end_it() -> None:
    async with playing(is_up=False) as play:
        play.template.reports = False
        play.pool.child_exited(NO_PID + 50, WorkerExit(exit_code=0))
        play.template.up()
        await play.warm(1)
        await play.lease()
        play.workers[0].close_output()  # nothing to wait for, should it count as gone
        play.workers[0].pid = NO_PID + 50
        play.template.report(play.workers[0])
        await settle()
        assert play.pool.count(Phase.LEASED) == 1


async def test_no_more_early_exits_are_kept_than_can_be_under_way() -> None:
    async with playing(is_up=False) as play:
        play.template.reports = play.template.boots = False
        play.template.up()
        await until(lambda: play.workers)
        (worker,) = play.workers
        play.template.exit(worker, exit_code=3)
        for pid in range(EARLY_EXITS_LIMIT):
            play.pool.child_exited(pid + 1, WorkerExit(exit_code=0))
        play.template.report(worker)
        await settle()
        assert play.pool.count(Phase.STARTING) == 1  # forgotten; its deadline will see to it


async def test_reports_about_workers_that_nobody_knows_are_ignored() -> None:
    async with playing() as play:
        await play.warm(1)
        play.pool.template_reported(WorkerForked(worker_id="w99", pid=NO_PID))
        play.pool.worker_ended(WorkerId("w99"), WorkerExit(exit_code=0))
        assert play.counts() == (0, 1, 0)


async def test_a_worker_without_a_process_of_its_own_ends_when_its_maker_says() -> None:
    async with playing(warm=0) as play:
        play.template.reports = False
        lease = await play.lease()
        play.pool.worker_ended(lease.worker_id, WorkerExit(exit_code=0))
        assert await lease.exited() == WorkerExit(exit_code=0)


# The end


async def test_the_end_kills_the_warm_and_the_leased_and_waits_for_them() -> None:
    async with playing(warm=2) as play:
        lease = await play.lease()
        await play.warm(2)
    assert [each.output_fd for each in play.workers] == [-1] * 3
    assert await lease.exited() == WorkerExit(signal=9)
    assert play.counts() == (0, 0, 0)


async def test_after_the_end_nobody_is_served() -> None:
    async with playing(warm=0) as play:
        pass
    assert not play.pool.is_ready()
    with pytest.raises(PoolExhaustedError):
        await play.lease(timeout_s=0.01)

"""Where workers come from in tests: tasks here that speak on real socket pairs."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from offhook.channel import Channel, ChannelClosedError
from offhook.ids import WorkerId
from offhook.protocol.control import (
    AnyMessage,
    ForkFailed,
    SessionEnded,
    TemplateReady,
    WorkerForked,
    WorkerReady,
)
from offhook.server.pool.pool import Pool
from offhook.server.pool.process import WorkerExit
from offhook.server.pool.template import NoTemplateError

NO_PID = 1 << 23
"""More than the kernel gives to any process, so that no signal of a test can hit one."""


class FakeClock:
    def __init__(self) -> None:
        self.hands = 1000.0

    def now(self) -> float:
        return self.hands


@dataclass
class FakeWorker:
    """The worker's ends of its channel and its output."""

    worker_id: WorkerId
    pid: int
    is_rehearsed: bool
    channel: Channel
    output_fd: int
    got: list[AnyMessage] = field(default_factory=list)
    is_reported: bool = False

    def print(self, text: str) -> None:
        os.write(self.output_fd, text.encode())

    def end(self, reason: str = "bot_finished") -> None:
        self.channel.send(SessionEnded(reason=reason))
        self.close()

    def close_output(self) -> None:
        if self.output_fd >= 0:
            os.close(self.output_fd)
            self.output_fd = -1

    def close(self) -> None:
        self.channel.close()
        self.close_output()


class FakeTemplate:
    """Makes workers at once, unless a test wants to play every step by itself.

    Attributes:
        reports: Report each fork as it is made, not as late as its end.
        boots: Have each worker say that it is ready.
        problem: Instead of forking, report that it failed.
        is_up: Whether there is a template at all.
        first_words: What a worker says when it has booted.
    """

    def __init__(self) -> None:
        self._group: TaskGroup | None = None
        self.pool: Pool | None = None
        self.workers: list[FakeWorker] = []
        self.reports = self.boots = self.is_up = True
        self.problem = ""
        self.first_words: AnyMessage = WorkerReady(pid=1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                yield
            finally:
                for worker in self.workers:
                    worker.close()
                group.cancel_scope.cancel()

    def fork(
        self, worker_id: WorkerId, *, rehearse: bool, channel: socket.socket, output_fd: int
    ) -> None:
        if not self.is_up:
            raise NoTemplateError("the template has gone")
        assert self._group is not None
        if self.problem:
            self._group.start_soon(self._report, ForkFailed(worker_id=worker_id, problem="memory"))
            return
        pid = NO_PID + len(self.workers)
        worker = FakeWorker(worker_id, pid, rehearse, Channel(channel.dup()), os.dup(output_fd))
        self.workers.append(worker)
        self._group.start_soon(self._live, worker)

    async def _report(self, message: ForkFailed) -> None:
        assert self.pool is not None
        self.pool.template_reported(message)

    async def _live(self, worker: FakeWorker) -> None:
        try:
            if self.reports:
                self.report(worker)
            if self.boots:
                worker.channel.send(self.first_words)
            while True:
                worker.got.append((await worker.channel.receive()).message)
        except ChannelClosedError:
            if not worker.is_reported:
                self.report(worker)
            self.exit(worker, signal=9)
        finally:
            worker.close()

    def report(self, worker: FakeWorker) -> None:
        assert self.pool is not None
        worker.is_reported = True
        self.pool.template_reported(WorkerForked(worker_id=worker.worker_id, pid=worker.pid))

    def exit(
        self, worker: FakeWorker, *, exit_code: int | None = None, signal: int | None = None
    ) -> None:
        """Have the supervisor report that the process has gone."""
        assert self.pool is not None
        worker.close()
        self.pool.child_exited(worker.pid, WorkerExit(exit_code, signal))

    def up(self, generation: int = 1) -> None:
        assert self.pool is not None
        self.pool.template_reported(
            TemplateReady(
                generation=generation,
                pid=1,
                python="",
                threads=1,
                rss_bytes=0,
                preload_ms=0.0,
                bot="bot.py",
            )
        )


async def until(condition: Callable[[], object]) -> None:
    """Wait for what has to happen."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 -- nothing tells
            await anyio.sleep(0.001)


async def settle() -> None:
    """Let everything run that can run without time passing, also what waits for a socket."""
    for _ in range(50):
        await anyio.lowlevel.checkpoint()

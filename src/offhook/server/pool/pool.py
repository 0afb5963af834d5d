"""The set of workers: keeps some warm, leases each of them once."""

import logging
import os
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol, assert_never

import anyio
from anyio.abc import TaskGroup

from offhook.channel import Channel, socket_pair
from offhook.clock import Clock
from offhook.errors import WorkerError
from offhook.ids import SessionId, WorkerId
from offhook.protocol.control import ForkFailed, TemplateReady, WorkerForked, WorkerReady
from offhook.server.pool import state as rules
from offhook.server.pool.process import WorkerExit, WorkerProcess
from offhook.server.pool.state import Grant, Kill, PoolState, RequestId, Spawn
from offhook.server.pool.template import NoTemplateError, TemplateMessage

log = logging.getLogger(__name__)

EARLY_EXITS_LIMIT: Final = 64
"""Exits reported before the fork was; more than these cannot be under way."""

END_TIMEOUT_S: Final = 2.0

Lease = WorkerProcess
"""The exclusive right to one worker."""


class PoolExhaustedError(WorkerError):
    """No worker came free in time."""

    code = "no_worker"
    hint = "Try again in a moment; keep more workers warm with --warm."

    def __init__(self, *, waited_s: float) -> None:
        super().__init__(f"no bot process could be started within {waited_s:g} s")
        self.waited_s = waited_s


class WorkerSource(Protocol):
    """Where workers come from."""

    def fork(
        self, worker_id: WorkerId, *, rehearse: bool, channel: socket.socket, output_fd: int
    ) -> None:
        """Have a worker made that speaks on `channel` and prints to `output_fd`.

        Raises:
            NoTemplateError: Nobody is there who could do it.
        """
        ...


class Pool:
    """Decides by `PoolState`, acts here. `run()` owns everything; its end kills what is left."""

    def __init__(self, *, clock: Clock, source: WorkerSource, warm: int) -> None:
        self._clock = clock
        self._source = source
        self._state = PoolState(warm=warm)
        self._workers: dict[WorkerId, WorkerProcess] = {}
        self._by_pid: dict[int, WorkerProcess] = {}
        self._early_exits: OrderedDict[int, WorkerExit] = OrderedDict()
        self._waiting: dict[RequestId, _Waiter] = {}
        self._requests = 0
        self._group: TaskGroup | None = None
        self._ready = anyio.Event()
        self._wake = anyio.Event()

    # What the server's other parts ask

    async def lease(self, *, session_id: SessionId, timeout_s: float) -> Lease:
        """Get a worker of one's own. Cancelled, it takes none.

        Raises:
            PoolExhaustedError: None came in time.
        """
        self._requests += 1
        request, waiter = RequestId(self._requests), _Waiter()
        self._waiting[request] = waiter
        try:
            self._handle(rules.LeaseWanted(request))
            with anyio.move_on_after(timeout_s):
                await waiter.granted.wait()
            if waiter.worker is None:
                raise PoolExhaustedError(waited_s=timeout_s)
            waiter.worker.session_id = session_id
            lease, waiter.worker = waiter.worker, None
            return lease
        finally:
            del self._waiting[request]
            if waiter.worker is not None:  # granted while this was being cancelled
                waiter.worker.kill()
            self._handle(rules.LeaseAbandoned(request))

    def is_ready(self) -> bool:
        """Say whether a bot could be started now or soon."""
        return self._ready.is_set() and self._state.is_ready

    async def first_ready(self) -> None:
        """Wait until a first bot could be started."""
        await self._ready.wait()

    def count(self, phase: rules.Phase) -> int:
        """Count the workers in a phase."""
        return self._state.count(phase)

    # What the processes around tell

    def template_reported(self, message: TemplateMessage) -> None:
        """Take note of what the template says."""
        match message:
            case TemplateReady(generation=generation):
                log.info(
                    "template ready",
                    extra={"pid": message.pid, "generation": generation, "ms": message.preload_ms},
                )
                self._handle(rules.TemplateUp(generation))
            case WorkerForked(worker_id=worker_id, pid=pid):
                worker = self._workers.get(WorkerId(worker_id))
                if worker:
                    worker.was_forked(pid)
                    self._by_pid[pid] = worker
                    early = self._early_exits.pop(pid, None)
                    if early:
                        self.child_exited(pid, early)
            case ForkFailed(worker_id=worker_id, problem=problem):
                log.error("fork failed", extra={"worker": worker_id, "problem": problem})
                self.worker_ended(WorkerId(worker_id), WorkerExit(exit_code=1))
            case _:
                assert_never(message)

    def template_exited(self) -> None:
        """Take note that nobody forks any more; forks not yet reported will never be."""
        self._handle(rules.TemplateDown())
        for worker in list(self._workers.values()):
            if not worker.pid:
                worker.was_reaped(WorkerExit(exit_code=1))

    def worker_ended(self, worker_id: WorkerId, end: WorkerExit) -> None:
        """Take note of a worker that no supervisor will report."""
        worker = self._workers.get(worker_id)
        if worker:
            worker.was_reaped(end)

    def child_exited(self, pid: int, end: WorkerExit) -> None:
        """Take note of a process that the supervisor has reaped."""
        worker = self._by_pid.pop(pid, None)
        if worker:
            worker.was_reaped(end)
            return
        if all(each.pid for each in self._workers.values()):
            # A stranger: kept, it would end a later worker that happens to get the same pid.
            self._early_exits.clear()
            return
        self._early_exits[pid] = end
        while len(self._early_exits) > EARLY_EXITS_LIMIT:
            self._early_exits.popitem(last=False)

    # The life of the pool

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep workers warm inside the block; at its end, kill what is left and wait for it."""
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(self._tick)
            try:
                yield
            finally:
                await self._end()
                group.cancel_scope.cancel()

    async def _end(self) -> None:
        self._handle(rules.Closed())
        for worker in self._workers.values():
            worker.kill()
        with anyio.move_on_after(END_TIMEOUT_S, shield=True):
            for worker in list(self._workers.values()):
                await worker.exited()

    def _handle(self, event: rules.Event) -> None:
        for instruction in self._state.handle(event, now=self._clock.now()):
            match instruction:
                case Spawn(worker, rehearse):
                    self._spawn(worker, rehearse=rehearse)
                case Grant(request, worker):
                    waiter = self._waiting[request]
                    waiter.worker = self._workers[worker]
                    waiter.granted.set()
                case Kill(worker):
                    self._workers[worker].kill()
                case _:
                    assert_never(instruction)
        self._wake.set()
        if self._state.is_ready and self._state.count(rules.Phase.IDLE) >= min(1, self._state.warm):
            self._ready.set()

    def _spawn(self, worker_id: WorkerId, *, rehearse: bool) -> None:
        try:
            ours, theirs = socket_pair()
            output, output_of_worker = _pipe_or_close(ours, theirs)
        except OSError as error:
            log.error("no worker made", extra={"problem": str(error)})  # noqa: TRY400 -- expected
            self._handle(rules.WorkerExited(worker_id))
            return
        worker = WorkerProcess(worker_id, Channel(ours), output)
        self._workers[worker_id] = worker
        try:
            self._source.fork(
                worker_id, rehearse=rehearse, channel=theirs, output_fd=output_of_worker
            )
        except NoTemplateError as error:
            log.warning("no worker made", extra={"problem": error.detail})
            worker.was_reaped(WorkerExit(exit_code=1))
        finally:
            theirs.close()
            os.close(output_of_worker)
        assert self._group is not None  # noqa: S101 -- nothing is handled outside `running()`
        self._group.start_soon(self._live, worker)
        self._group.start_soon(self._boot, worker)

    async def _boot(self, worker: WorkerProcess) -> None:
        try:
            message = await worker.receive()
        except anyio.EndOfStream:
            return
        if isinstance(message, WorkerReady):
            self._handle(rules.WorkerBooted(worker.worker_id))
        else:
            log.error("worker did not say that it is ready", extra={"worker": worker.worker_id})
            worker.kill()

    async def _live(self, worker: WorkerProcess) -> None:
        end = await worker.supervise()
        log.debug("worker exited", extra={"worker": worker.worker_id, "end": str(end)})
        del self._workers[worker.worker_id]
        self._handle(rules.WorkerExited(worker.worker_id))

    async def _tick(self) -> None:
        while True:
            self._wake = anyio.Event()
            due = self._state.wake_at()
            delay = None if due is None else max(0.0, due - self._clock.now())
            with anyio.move_on_after(delay):
                await self._wake.wait()
                continue
            self._handle(rules.Ticked())


def _pipe_or_close(*sockets: socket.socket) -> tuple[int, int]:
    try:
        return os.pipe()
    except OSError:
        for each in sockets:
            each.close()
        raise


class _Waiter:
    def __init__(self) -> None:
        self.granted = anyio.Event()
        self.worker: WorkerProcess | None = None

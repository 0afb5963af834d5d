"""Which worker is in which phase, and what has to be done about it. Pure.

The shell tells what happened; the state answers with instructions. `now` is in seconds.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NewType, assert_never

from offhook.ids import WorkerId

RequestId = NewType("RequestId", int)

MAX_STARTING: Final = 4
"""Workers that boot at the same time; more of them only take turns on the processor."""
START_TIMEOUT_S: Final = 10.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
START_QUIET_S: Final = 0.03
"""After a lease, no worker is made for this long unless one is waited for: making one would compete
for the processor with the bot that has just been given its call."""


class Phase(Enum):
    """Where a worker is in its one life."""

    STARTING = auto()
    IDLE = auto()
    LEASED = auto()
    EXITED = auto()


TRANSITIONS: Final = {
    Phase.STARTING: {Phase.IDLE, Phase.EXITED},
    Phase.IDLE: {Phase.LEASED, Phase.EXITED},
    Phase.LEASED: {Phase.EXITED},
    Phase.EXITED: set[Phase](),
}


# What happened


@dataclass(frozen=True)
class TemplateUp:
    """Workers of this generation can be forked; idle ones of older generations are stale."""

    generation: int


@dataclass(frozen=True)
class TemplateDown:
    """No worker can be forked until the next template."""


@dataclass(frozen=True)
class LeaseWanted:
    """A session needs a worker."""

    request: RequestId


@dataclass(frozen=True)
class LeaseAbandoned:
    """A session no longer needs the worker it asked for."""

    request: RequestId


@dataclass(frozen=True)
class WorkerBooted:
    """A worker says that it is idle."""

    worker: WorkerId


@dataclass(frozen=True)
class WorkerExited:
    """A worker's process has gone, or never came to be."""

    worker: WorkerId


@dataclass(frozen=True)
class Ticked:
    """Some time has passed; `PoolState.wake_at` says when this is due."""


@dataclass(frozen=True)
class Closed:
    """Nobody will need a worker any more."""


Event = (
    TemplateUp
    | TemplateDown
    | LeaseWanted
    | LeaseAbandoned
    | WorkerBooted
    | WorkerExited
    | Ticked
    | Closed
)


# What to do


@dataclass(frozen=True)
class Spawn:
    """Make a worker; `rehearse` when nobody waits for it."""

    worker: WorkerId
    rehearse: bool


@dataclass(frozen=True)
class Grant:
    """Give the worker to the session that asked."""

    request: RequestId
    worker: WorkerId


@dataclass(frozen=True)
class Kill:
    """End the worker at once."""

    worker: WorkerId


Instruction = Spawn | Grant | Kill


@dataclass
class _Worker:
    generation: int
    started_at: float
    phase: Phase = Phase.STARTING

    def enter(self, phase: Phase) -> None:
        assert phase in TRANSITIONS[self.phase], f"{self.phase} -> {phase}"  # noqa: S101 -- a table, not flags
        self.phase = phase


@dataclass
class PoolState:
    """Keeps `warm` workers idle and hands them out in the order of asking."""

    warm: int
    _generation: int | None = None
    _workers: dict[WorkerId, _Worker] = field(default_factory=dict)
    _wanted: deque[RequestId] = field(default_factory=deque)
    _spawned: int = 0
    _failures: int = 0
    _paused_until: float = 0.0
    _quiet_until: float = 0.0
    _is_closed: bool = False

    def handle(self, event: Event, *, now: float) -> list[Instruction]:  # noqa: C901, PLR0912 -- an arm each
        """Take note of what happened and say what to do about it."""
        instructions: list[Instruction] = []
        match event:
            case TemplateUp(generation):
                self._generation = generation
                self._failures, self._paused_until = 0, 0.0
                instructions += self._kill([
                    w for w, each in self._idle() if each.generation != generation
                ])
            case TemplateDown():
                self._generation = None
            case LeaseWanted(request):
                self._wanted.append(request)
            case LeaseAbandoned(request):
                if request in self._wanted:
                    self._wanted.remove(request)
            case WorkerBooted(worker):
                booted = self._workers.get(worker)
                if booted and booted.phase is Phase.STARTING:  # else it was killed meanwhile
                    booted.enter(Phase.IDLE)
                    self._failures = 0
            case WorkerExited(worker):
                self._forget(worker, now=now)
            case Ticked():
                overdue = self._overdue(now=now)
                for _ in overdue:
                    self._pause(now=now)
                instructions += self._kill(overdue)
            case Closed():
                self._is_closed = True
                self._wanted.clear()
                instructions += self._kill([
                    w for w, e in self._workers.items() if e.phase in {Phase.STARTING, Phase.IDLE}
                ])
            case _:
                assert_never(event)
        return instructions + self._grant(now=now) + self._refill(now=now)

    def wake_at(self) -> float | None:
        """Say when `Ticked` is due: a worker overdue, or the end of a pause or a quiet."""
        times = [
            each.started_at + START_TIMEOUT_S
            for each in self._workers.values()
            if each.phase is Phase.STARTING
        ]
        times += [until for until in (self._paused_until, self._quiet_until) if until]
        return min(times, default=None)

    def count(self, phase: Phase) -> int:
        """Count the workers in a phase."""
        return sum(each.phase is phase for each in self._workers.values())

    @property
    def is_ready(self) -> bool:
        """Whether a worker is idle, or can be made."""
        return not self._is_closed and (
            self.count(Phase.IDLE) > 0 or (self._generation is not None and not self._paused_until)
        )

    def _idle(self) -> list[tuple[WorkerId, _Worker]]:
        return [(w, each) for w, each in self._workers.items() if each.phase is Phase.IDLE]

    def _overdue(self, *, now: float) -> list[WorkerId]:
        return [
            worker
            for worker, each in self._workers.items()
            if each.phase is Phase.STARTING and now >= each.started_at + START_TIMEOUT_S
        ]

    def _kill(self, workers: list[WorkerId]) -> list[Instruction]:
        for worker in workers:
            self._workers[worker].enter(Phase.EXITED)
        return [Kill(worker) for worker in workers]

    def _forget(self, worker: WorkerId, *, now: float) -> None:
        gone = self._workers.pop(worker, None)
        if gone and gone.phase is Phase.STARTING:
            self._pause(now=now)

    def _pause(self, *, now: float) -> None:
        # One that cannot boot may be bad luck; after two in a row the next will hardly do better.
        self._failures += 1
        if self._failures > 1:
            pause = FIRST_PAUSE_S * 2 ** min(self._failures - 2, 10)
            self._paused_until = now + min(pause, LONGEST_PAUSE_S)

    def _grant(self, *, now: float) -> list[Instruction]:
        granted: list[Instruction] = []
        for worker, each in self._idle():
            if not self._wanted:
                break
            each.enter(Phase.LEASED)
            granted.append(Grant(self._wanted.popleft(), worker))
            self._quiet_until = now + START_QUIET_S
        return granted

    def _refill(self, *, now: float) -> list[Instruction]:
        if self._paused_until and now >= self._paused_until:
            self._paused_until = 0.0
        if self._wanted or now >= self._quiet_until:
            self._quiet_until = 0.0
        if self._generation is None or self._is_closed or self._paused_until or self._quiet_until:
            return []
        starting = self.count(Phase.STARTING)
        missing = len(self._wanted) + self.warm - starting - self.count(Phase.IDLE)
        spawned: list[Instruction] = []
        for _ in range(min(missing, MAX_STARTING - starting)):
            self._spawned += 1
            worker = WorkerId(f"w{self._spawned}")
            self._workers[worker] = _Worker(self._generation, started_at=now)
            is_awaited = starting + len(spawned) < len(self._wanted)
            spawned.append(Spawn(worker, rehearse=not is_awaited))
        return spawned

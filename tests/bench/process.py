"""What the kernel says about other processes: memory of their own, processor time, family."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from offhook.testing.server import OffhookProcess

KIB = 1024
CPUCLOCK_SCHED = 2
QUIET_NS = 400_000
"""What a process may run between two looks and still count as waiting."""
LOOK_S = 0.01
QUIET_LOOKS = 5


class StillBusyError(RuntimeError):
    """What was waited for did not happen in time."""


@dataclass(frozen=True)
class Memory:
    """Of one process, in MiB: what it alone holds (USS), and all it has mapped in (RSS)."""

    uss: float
    rss: float


def memory(pid: int) -> Memory:
    """Read a process's memory."""
    found: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, size = line.split()[:2]
        found[name.rstrip(":")] = int(size)
    own = found["Private_Clean"] + found["Private_Dirty"]
    return Memory(own / KIB, found["Rss"] / KIB)


def cpu_ns(pid: int) -> int:
    """Return the processor time that all threads of a process have used, also those that ended.

    The scheduler's own count, by the process's clock (clock_getcpuclockid(3)), not ticks of 10 ms.
    """
    return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)


def threads(pid: int) -> int:
    """Count the threads of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


class Family:
    """The processes of one `offhook run`, told apart."""

    def __init__(self, server: OffhookProcess) -> None:
        self.supervisor = server.process.pid
        listed = self._children()
        self.server = next(pid for pid in listed if "offhook.server" in _command(pid))
        self.template = next(pid for pid in listed if "offhook.worker" in _command(pid))

    def workers(self) -> list[int]:
        """List the workers, warm and leased: the supervisor is the parent of them all."""
        return [pid for pid in self._children() if pid not in {self.server, self.template}]

    def _children(self) -> list[int]:
        """List the supervisor's children, oldest first."""
        text = Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children").read_text()
        return sorted((int(pid) for pid in text.split()), key=_started)

    def wait_until_warm(self, count: int, *, timeout_s: float = 15.0) -> list[int]:
        """Wait until exactly this many workers exist, and none of them does anything.

        The server is not asked: a question would warm up what is to be measured, and a worker is
        warm when it has booted, rehearsed and come to rest, which its processor time shows.
        """
        deadline = time.perf_counter() + timeout_s
        for workers, is_quiet in self._looks():
            if len(workers) == count and is_quiet:
                return workers
            if time.perf_counter() > deadline:
                raise StillBusyError(f"{len(workers)} workers, not {count}, or not at rest")
        raise AssertionError  # the looks have no end

    def _looks(self) -> Iterator[tuple[list[int], bool]]:
        """Look again and again; yield the workers and whether all has been quiet for some looks."""
        before: dict[int, int] = {}
        quiet = 0
        while True:
            workers = self.workers()
            now = {}
            for pid in (self.server, *workers):
                with contextlib.suppress(OSError):
                    now[pid] = cpu_ns(pid)
            is_same = now.keys() == before.keys()
            quiet = (
                quiet + 1
                if is_same and all(now[pid] - before[pid] < QUIET_NS for pid in now)
                else 0
            )
            before = now
            yield workers, quiet >= QUIET_LOOKS
            time.sleep(LOOK_S)


def wait_for(
    condition: Callable[[], object], what: str, *, timeout_s: float = 15.0, look_s: float = LOOK_S
) -> None:
    """Look until something is so."""
    deadline = time.perf_counter() + timeout_s
    while not condition():
        if time.perf_counter() > deadline:
            raise StillBusyError(f"waited {timeout_s:g} s for {what}")
        time.sleep(look_s)


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def _started(pid: int) -> int:
    """Return when a process was started; one that has gone counts as the youngest."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19])
    return 1 << 62

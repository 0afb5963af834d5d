"""What a conversation costs while it lasts: processor, memory, latency; and bad neighbours."""

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench.callers import Callers, Child
from tests.bench.figures import Figure, percentile
from tests.bench.process import Memory, cpu_ns, memory, threads
from tests.bench.starts import WARM_WORKERS
from tests.bench.subject import Subject, answer_of

FAIL_AFTER = 50
"""A bad neighbour fails when it has heard so many pieces, 1 s after it began to."""
SETTLE_S = 2.5
"""Until connections, buffers and caches are as they stay."""


@dataclass(frozen=True)
class Scale:
    """How many talk at once, and for how long it is looked at."""

    counts: tuple[int, ...] = (1, 5, 20)
    beside_stock: int = 5
    window_s: float = 6.0
    failures: tuple[str, ...] = ("block", "spin", "crash")

    @classmethod
    def quick(cls) -> "Scale":
        """As much as it takes to see that it works."""
        return cls(counts=(3,), beside_stock=2, window_s=2.0, failures=("block",))


@dataclass(frozen=True)
class Window:
    """What was seen while some sessions talked; processor time in % of one core."""

    cpu: tuple[float, ...]
    server_cpu: float
    client_cpu: float
    callers: dict[int, dict[str, Any]]

    def merged(self, what: str) -> tuple[float, ...]:
        """Return one kind of what all callers counted."""
        return tuple(value for counted in self.callers.values() for value in counted[what])


def measure_ours(subject: Subject, scale: Scale) -> Iterator[Figure]:
    """Let echo bots talk; ours, through a real server."""
    subject.family.wait_until_warm(WARM_WORKERS)
    server, most = subject.family.server, max(scale.counts)
    idle_cpu = _idle(server, scale.window_s)
    for count in sorted(scale.counts):
        with Callers.running() as callers:
            workers = call(subject, callers, count)
            window = watch(workers, server, callers, scale.window_s)
            memories = [memory(pid) for pid in workers]
            thread_counts = [threads(pid) for pid in workers]
            figures = _server_figures(count, window, idle_cpu, memory(server))
            callers.hang_up()
        subject.end_all()
        yield from _figures(f"{count} talking", window, is_bound=count == most)
        yield Figure(
            name=f"{count} talking: own memory (USS) of a session",
            unit="MiB",
            values=tuple(found.uss for found in memories),
            bounds={"max": 18.0} if count == most else {},
            note=f"threads of a session: {max(thread_counts)}",
        )
        if count == most:
            yield from figures


def _server_figures(
    count: int, window: Window, idle_cpu: float, server: Memory
) -> tuple[Figure, ...]:
    return (
        Figure(
            name=f"{count} talking: server CPU per session, above an idle server's",
            unit="% core",
            values=(max(0.0, window.server_cpu - idle_cpu) / count,),
            bounds={"max": 0.02},
            note=f"idle {idle_cpu:.2f} %, with {count} sessions {window.server_cpu:.2f} %",
        ),
        Figure(
            name=f"own memory (USS) of the server, with {count} talking",
            unit="MiB",
            values=(server.uss,),
            note=f"RSS {server.rss:.1f} MiB",
        ),
    )


def measure_beside_stock(subject: Subject, scale: Scale) -> Iterator[Figure]:
    """Let ours and the library's own echo talk at the same time, so that both have the same day."""
    count = scale.beside_stock
    with contextlib.ExitStack() as stack:
        ours, theirs = (stack.enter_context(Callers.running()) for _ in range(2))
        children = [stack.enter_context(Child.running("stock")) for _ in range(count)]
        numbers = []
        for child in children:
            number, sdp = theirs.offer()
            theirs.accept(number, child.ask(sdp))
            numbers.append(number)
        theirs.talk(numbers)
        workers = call(subject, ours, count)
        used_by_ours = _Watch(workers, None, ours, scale.window_s)
        used_by_stock = _Watch([child.pid for child in children], None, theirs, scale.window_s)
        time.sleep(SETTLE_S)
        used_by_ours.begin()
        used_by_stock.begin()
        time.sleep(scale.window_s - 0.1)
        our_window, stock_window = used_by_ours.end(), used_by_stock.end()
        uss = tuple(memory(child.pid).uss for child in children)
        ours.hang_up()
        theirs.hang_up()
    subject.end_all()
    yield from _figures(f"{count} talking, stock aiortc", stock_window, is_bound=False)
    yield Figure(
        name=f"{count} talking, stock aiortc: own memory (USS) of a process",
        unit="MiB",
        values=uss,
        note="processes started separately, not forked",
    )
    yield Figure(
        name="CPU of a session, share of stock aiortc's at the same time",
        unit="ratio",
        values=(sum(our_window.cpu) / sum(stock_window.cpu),),
        bounds={"max": 0.5},
        note=f"mean {statistics.fmean(our_window.cpu):.2f} "
        f"against {statistics.fmean(stock_window.cpu):.2f} % of a core, {count} of each",
    )


def measure_neighbours(subject: Subject, scale: Scale) -> Iterator[Figure]:
    """Look at the gaps in one session's audio while another one blocks, spins or dies."""
    clean: list[float] = []
    for failure in ("none", *scale.failures):
        with Callers.running() as callers:
            more = {} if failure == "none" else {"failure": failure, "fail_after": FAIL_AFTER}
            call(subject, callers, 1)
            call(subject, callers, 1, **more)
            callers.begin_count(scale.window_s)
            gaps = callers.end_count()[1]["gaps_ms"]
            callers.hang_up()
        subject.end_all()
        clean = clean or gaps
        yield _gaps(failure, gaps, clean)


def _gaps(failure: str, gaps: list[float], clean: list[float]) -> Figure:
    names = {
        "none": "with a good neighbour",
        "block": "while a neighbour sleeps for 3 s",
        "spin": "while a neighbour computes for 3 s",
        "crash": "while a neighbour crashes",
    }
    bounds = {} if failure == "none" else {"max": round(percentile(clean, 0.99) + 20.0, 1)}
    return Figure(
        name=f"gap between a session's packets, {names[failure]}",
        unit="ms",
        values=tuple(gaps),
        bounds=bounds,
    )


def call(subject: Subject, callers: Callers, count: int, **more: Any) -> list[int]:
    """Have so many callers call the echo bot, one after the other, and talk; return the workers."""
    numbers, workers = [], []
    for _ in range(count):
        number, sdp = callers.offer()
        exchange = subject.client.ask(subject.offer(sdp, "echo", **more))
        exchange.json()
        workers.append(subject.report().pid)
        callers.accept(number, answer_of(exchange))
        numbers.append(number)
    callers.talk(numbers)
    return workers


class _Watch:
    """Looks at some processes and their callers for some time."""

    def __init__(
        self, workers: list[int], server: int | None, callers: Callers, seconds: float
    ) -> None:
        self._workers, self._server = workers, server
        self._callers, self._seconds = callers, seconds
        self._pids = [*workers, callers.pid, *([] if server is None else [server])]
        self._before: dict[int, int] = {}
        self._began_ns = 0

    def begin(self) -> None:
        """Look from now on."""
        self._callers.begin_count(self._seconds)
        self._before = {pid: cpu_ns(pid) for pid in self._pids}
        self._began_ns = time.monotonic_ns()

    def end(self) -> Window:
        """Look for the last time; the callers count to the end of theirs."""
        took_ns = time.monotonic_ns() - self._began_ns
        used = {pid: 100 * (cpu_ns(pid) - self._before[pid]) / took_ns for pid in self._pids}
        return Window(
            cpu=tuple(used[pid] for pid in self._workers),
            server_cpu=0.0 if self._server is None else used[self._server],
            client_cpu=used[self._callers.pid],
            callers=self._callers.end_count(),
        )


def watch(workers: list[int], server: int, callers: Callers, seconds: float) -> Window:
    """Look at processes and callers for some time, once all have settled."""
    watched = _Watch(workers, server, callers, seconds)
    time.sleep(SETTLE_S)
    watched.begin()
    time.sleep(seconds - 0.1)
    return watched.end()


def _idle(pid: int, seconds: float) -> float:
    """Look at a process for some time; return what it used, in % of a core."""
    before, began_ns = cpu_ns(pid), time.monotonic_ns()
    time.sleep(seconds)
    return 100 * (cpu_ns(pid) - before) / (time.monotonic_ns() - began_ns)


def _figures(name: str, window: Window, *, is_bound: bool) -> Iterator[Figure]:
    total = sum(window.cpu) + window.server_cpu + window.client_cpu
    packets = [counted["packets"] for counted in window.callers.values()]
    yield Figure(
        name=f"{name}: CPU of a session",
        unit="% core",
        values=window.cpu,
        bounds={"p50": 4.0} if is_bound else {},
        note=f"mean {statistics.fmean(window.cpu):.2f}, with the client {total:.0f} % in all",
    )
    yield Figure(
        name=f"{name}: audio in → audio out",
        unit="ms",
        values=window.merged("latencies_ms"),
        bounds={} if "stock" in name else {"p50": 80.0},
        note=f"packets back: {min(packets)} to {max(packets)} a caller",
    )
    yield Figure(name=f"{name}: gap between packets", unit="ms", values=window.merged("gaps_ms"))

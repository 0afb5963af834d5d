"""What a conversation costs while it lasts: processor, memory, latency; and bad neighbours."""

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench.callers import Callers, Child
from tests.bench.figures import Figure
from tests.bench.process import cpu_ns, memory, threads
from tests.bench.starts import WARM_WORKERS
from tests.bench.subject import Subject, answer_of

SETTLE_S = 1.5
"""Until connections, buffers and caches are as they stay."""


@dataclass(frozen=True)
class Scale:
    """How many talk at once, and for how long it is looked at."""

    counts: tuple[int, ...] = (1, 5, 20)
    stock_counts: tuple[int, ...] = (1, 5, 10)
    window_s: float = 6.0

    @classmethod
    def quick(cls) -> "Scale":
        """As much as it takes to see that it works."""
        return cls(counts=(3,), stock_counts=(3,), window_s=2.0)


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
    idle_cpu = _used([server], scale.window_s)[server]
    for count in scale.counts:
        with Callers.running() as callers:
            workers = call(subject, callers, count)
            window = watch(workers, server, callers, scale.window_s)
            memories = [memory(pid) for pid in workers]
            thread_counts = [threads(pid) for pid in workers]
            server_memory = memory(server)
            callers.hang_up()
        subject.end_all()
        yield from _figures(f"{count} talking", window, is_bound=count == most)
        yield Figure(
            name=f"{count} talking: own memory (USS) of a session",
            unit="MiB",
            values=tuple(found.uss for found in memories),
            bounds={"max": 18.0},
            note=f"threads of a session: {max(thread_counts)}",
        )
    yield Figure(
        name=f"{most} talking: server CPU per session, above an idle server's",
        unit="% core",
        values=(max(0.0, window.server_cpu - idle_cpu) / most,),
        bounds={"max": 0.02},
        note=f"idle {idle_cpu:.2f} %, with {most} sessions {window.server_cpu:.2f} %",
    )
    yield Figure(
        name=f"own memory (USS) of the server, with {most} talking",
        unit="MiB",
        values=(server_memory.uss,),
        note=f"RSS {server_memory.rss:.1f} MiB",
    )


def measure_stock(scale: Scale) -> Iterator[Figure]:
    """Let the library's own echo talk with the same client."""
    for count in scale.stock_counts:
        with contextlib.ExitStack() as stack:
            callers = stack.enter_context(Callers.running())
            children = [stack.enter_context(Child.running("stock")) for _ in range(count)]
            numbers = []
            for child in children:
                number, sdp = callers.offer()
                callers.accept(number, child.ask(sdp))
                numbers.append(number)
            callers.talk(numbers)
            window = watch([child.pid for child in children], None, callers, scale.window_s)
            uss = tuple(memory(child.pid).uss for child in children)
            callers.hang_up()
        yield from _figures(f"{count} talking, stock aiortc", window, is_bound=False)
        yield Figure(
            name=f"{count} talking, stock aiortc: own memory (USS) of a process",
            unit="MiB",
            values=uss,
            note="processes started separately, not forked",
        )


def compare(figures: list[Figure], scale: Scale) -> Iterator[Figure]:
    """Put our processor time in relation to the library's, where both were measured."""
    medians = {figure.name: figure.statistic("p50") for figure in figures if figure.values}
    for count in sorted({*scale.counts} & {*scale.stock_counts}):
        ours = medians.get(f"{count} talking: CPU of a session")
        stock = medians.get(f"{count} talking, stock aiortc: CPU of a session")
        if ours is not None and stock:
            yield Figure(
                name=f"{count} talking: CPU, share of stock aiortc's",
                unit="ratio",
                values=(ours / stock,),
                bounds={"max": 0.5},
            )


def measure_neighbours(subject: Subject, window_s: float) -> Iterator[Figure]:
    """Look at the gaps in one session's audio while another one blocks, spins or dies."""
    clean: list[float] = []
    for failure in ("none", "block", "spin", "crash"):
        with Callers.running() as callers:
            more = {} if failure == "none" else {"failure": failure, "fail_after": 100}
            call(subject, callers, 1)
            # It fails 2 s after it began to hear, which is in the first second of the window.
            call(subject, callers, 1, **more)
            callers.begin_count(window_s)
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
    bounds = {} if failure == "none" else {"max": round(max(clean) + 20.0, 1)}
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


def watch(workers: list[int], server: int | None, callers: Callers, seconds: float) -> Window:
    """Look at processes and callers for some time, once all have settled."""
    time.sleep(SETTLE_S)
    pids = [*workers, callers.pid, *([] if server is None else [server])]
    callers.begin_count(seconds)
    used = _used(pids, seconds - 0.1)
    return Window(
        cpu=tuple(used[pid] for pid in workers),
        server_cpu=0.0 if server is None else used[server],
        client_cpu=used[callers.pid],
        callers=callers.end_count(),
    )


def _used(pids: list[int], seconds: float) -> dict[int, float]:
    """Look at processes for some time; return what they used, in % of a core."""
    before, began_ns = {pid: cpu_ns(pid) for pid in pids}, time.monotonic_ns()
    time.sleep(seconds)
    after, ended_ns = {pid: cpu_ns(pid) for pid in pids}, time.monotonic_ns()
    return {pid: 100 * (after[pid] - before[pid]) / (ended_ns - began_ns) for pid in pids}


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

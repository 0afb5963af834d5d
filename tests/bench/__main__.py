"""`python -m tests.bench`: measure, print a table, write JSON."""
# ruff: noqa: T201 -- a command line prints

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NoReturn

from tests.bench import machine, starts, talks
from tests.bench.callers import Callers
from tests.bench.figures import Figure, table
from tests.bench.subject import Subject

GROUPS = ("memory", "warm", "audio", "talks", "stock", "neighbours", "bursts", "cold")
LIMIT_S = 400


def main() -> int:
    """Run what is asked for; the exit code is 0 unless the run fails, or --check finds a miss."""
    options = _options()
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _give_up)
    signal.alarm(LIMIT_S)
    described = machine.describe()
    print(machine.summary(described), file=sys.stderr)
    began, figures = time.perf_counter(), []
    for figure in measure(options.only or GROUPS, is_quick=options.quick):
        figures.append(figure)
        print(f"{time.perf_counter() - began:6.1f} s  {figure.name}", file=sys.stderr)
    took_s = time.perf_counter() - began
    print(table(figures))
    notes = {figure.name: figure.note for figure in figures if figure.note}
    print(*(f"  {name}: {note}" for name, note in notes.items()), sep="\n")
    print(f"{machine.summary(described)}\n{took_s:.0f} s", flush=True)
    content = {
        "machine": described,
        "quick": options.quick,
        "took_s": round(took_s, 1),
        "figures": [figure.to_json() for figure in figures],
    }
    options.json.write_text(json.dumps(content, indent=1) + "\n")
    missed = [figure.name for figure in figures if figure.is_met is False]
    if missed:
        print(f"{len(missed)} bounds missed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed and options.check else 0


def _give_up(number: int, frame: object) -> NoReturn:
    """Leave by an exception, so that what was started is ended."""
    sys.exit(f"ended by {signal.Signals(number).name}; a run may take {LIMIT_S} s")


def measure(groups: Collection[str], *, is_quick: bool) -> Iterator[Figure]:
    """Measure these groups, one after the other, so that none disturbs another."""
    how_often = starts.Scale.quick() if is_quick else starts.Scale()
    how_many = talks.Scale.quick() if is_quick else talks.Scale()
    with Callers.running() as callers:
        _, sdp = callers.offer()
    shared: dict[str, Callable[[Subject], Iterator[Figure]]] = {
        "memory": starts.measure_idle_memory,
        "warm": lambda subject: starts.measure_warm(subject, sdp, how_often),
        "audio": lambda subject: starts.measure_first_audio(subject, how_often),
        "talks": lambda subject: talks.measure_ours(subject, how_many),
        "stock": lambda subject: talks.measure_beside_stock(subject, how_many),
        "neighbours": lambda subject: talks.measure_neighbours(subject, how_many),
        "bursts": lambda subject: starts.measure_bursts(subject, sdp, how_often),
    }
    wanted = [measure_group for name, measure_group in shared.items() if name in groups]
    if wanted:
        with Subject.running("--warm", str(starts.WARM_WORKERS)) as subject:
            for measure_group in wanted:
                yield from measure_group(subject)
    if "cold" in groups:
        yield from starts.measure_cold(sdp, how_often)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of everything, to see it work")
    parser.add_argument("--check", action="store_true", help="a missed bound is an error")
    parser.add_argument(
        "--json", type=Path, default=Path("bench.json"), help="where to write the figures"
    )
    parser.add_argument(
        "--only", nargs="*", choices=GROUPS, metavar="GROUP", help=f"of: {', '.join(GROUPS)}"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

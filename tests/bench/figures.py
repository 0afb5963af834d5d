"""Arithmetic of a benchmark: percentiles, bounds, and the table. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STATISTICS = ("p50", "p99", "max")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (above 0, up to 1) of the values reach.

    Nearest rank: always a value that was measured, never one between two.
    """
    if not values:
        raise ValueError("no values")
    if not 0 < share <= 1:
        raise ValueError(f"{share} is no share")
    # The product may be a hair above a whole number; it must not tip over to the next rank.
    rank = math.ceil(round(share * len(values), 9))
    return sorted(values)[rank - 1]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table: what was measured, how often, and what it may be at most.

    Attributes:
        bounds: The highest that a statistic ("p50", "p99", "max") may be.
        note: What one must know to read the number.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    bounds: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def statistic(self, name: str) -> float:
        """Return one of `STATISTICS`."""
        if name == "max":
            return max(self.values)
        return percentile(self.values, int(name.removeprefix("p")) / 100)

    @property
    def is_met(self) -> bool | None:
        """Whether all bounds are kept; None where there are none, or nothing was measured."""
        if not self.bounds or not self.values:
            return None
        return all(self.statistic(name) <= bound for name, bound in self.bounds.items())

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        described: dict[str, Any] = {"name": self.name, "unit": self.unit, "n": len(self.values)}
        if self.values:
            described |= {name: round(self.statistic(name), 4) for name in STATISTICS}
        described |= {"bounds": dict(self.bounds), "met": self.is_met}
        return described | ({"note": self.note} if self.note else {})


def table(figures: Iterable[Figure]) -> str:
    """Lay figures out as aligned text."""
    head = ("what", "unit", "n", *STATISTICS, "bound", "met")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in {0, 1, 6} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    measured = (
        [_short(figure.statistic(name)) for name in STATISTICS]
        if figure.values
        else ["-"] * len(STATISTICS)
    )
    bound = ", ".join(f"{name} ≤ {_short(value)}" for name, value in figure.bounds.items())
    met = {True: "yes", False: "NO", None: ""}[figure.is_met]
    return (figure.name, figure.unit, str(len(figure.values)), *measured, bound, met)


def _short(value: float) -> str:
    """Write a number with about three digits that mean something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}".removesuffix(".0")
    text = f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
    return text.rstrip("0").rstrip(".")

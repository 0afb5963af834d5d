"""The only clock. All processes of a machine share the monotonic one, which times all steps."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What asks for the time takes one of these, so that a test can hold the hands."""

    def now(self) -> float:
        """Return seconds on the monotonic clock (CLOCK_MONOTONIC, the same in every process)."""
        ...

    def wall(self) -> datetime:
        """Return the time of day, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return seconds on the monotonic clock."""
        return time.monotonic()

    def wall(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

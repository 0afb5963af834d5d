"""The machine's clock: monotonic for intervals, the time of day in UTC."""

import time
from datetime import UTC, datetime, timedelta

from offhook.clock import SystemClock


def test_now_is_the_clock_that_all_processes_share():
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    now = SystemClock().now()
    assert before <= now <= time.clock_gettime(time.CLOCK_MONOTONIC)


def test_the_time_of_day_is_in_utc():
    wall = SystemClock().wall()
    assert wall.tzinfo is UTC
    assert abs(datetime.now(UTC) - wall) < timedelta(seconds=10)

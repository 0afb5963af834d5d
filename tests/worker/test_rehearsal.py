"""What an idle worker does, without being called."""

import threading
from pathlib import Path

from offhook.worker.rehearsal import prewarm, rehearse


def open_fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_rehearsal_leaves_nothing_behind_and_can_be_repeated() -> None:
    await rehearse()
    before = open_fds()
    await rehearse()
    assert open_fds() == before


def test_in_the_template_it_starts_no_thread() -> None:
    before = threading.active_count()
    prewarm()
    assert threading.active_count() == before

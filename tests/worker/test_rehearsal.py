"""What an idle worker does, without being called."""

import threading
from pathlib import Path

from offhook.worker.rehearsal import prewarm, rehearse


async def test_a_rehearsal_leaves_nothing_behind_and_can_be_repeated() -> None:
    await rehearse()
    before = len(list(Path("/proc/self/fd").iterdir()))
    await rehearse()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_in_the_template_it_starts_no_thread() -> None:
    before = threading.active_count()
    prewarm()
    assert threading.active_count() == before

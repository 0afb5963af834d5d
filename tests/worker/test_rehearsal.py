"""What an idle worker does, without being called."""

import os
import threading

from offhook.worker.rehearsal import prewarm, rehearse


async def test_a_rehearsal_leaves_nothing_behind_and_can_be_repeated() -> None:
    await rehearse()
    before = len(os.listdir("/proc/self/fd"))
    await rehearse()
    assert len(os.listdir("/proc/self/fd")) == before


def test_in_the_template_it_starts_no_thread() -> None:
    before = threading.active_count()
    prewarm()
    assert threading.active_count() == before

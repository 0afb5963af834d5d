"""The rehearsal of an idle worker."""

from pathlib import Path

import anyio

from offhook.transports.webrtc.aiortc_internals import prepare_certificate
from offhook.transports.webrtc.rehearse import preload, prewarm, rehearse


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_rehearsal_ends_soon_leaves_no_socket_and_starts_no_thread():
    await rehearse()
    open_before, before = descriptors(), threads()
    with anyio.fail_after(2):
        await rehearse()
    await anyio.wait_all_tasks_blocked()
    assert descriptors() == open_before
    assert threads() <= before


async def test_the_certificate_of_a_rehearsal_is_that_of_the_session():
    await rehearse()
    certificate = prepare_certificate()
    await rehearse()
    assert prepare_certificate() is certificate


def test_preloading_starts_no_thread():
    before = threads()
    preload()
    assert threads() <= before


def test_a_rehearsal_in_the_template_leaves_no_thread_no_socket_and_no_key():
    mine = prepare_certificate()
    open_before, before = descriptors(), threads()
    prewarm()
    assert threads() <= before
    assert descriptors() == open_before
    assert prepare_certificate() is not mine

"""What every test gets: an asyncio loop, and a check that it leaves nothing behind."""

import asyncio
import contextlib
import ctypes
import gc
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Container, Iterator
from pathlib import Path

import anyio
import hypothesis
import psutil
import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PR_SET_CHILD_SUBREAPER = 36
SETTLE_S = 5.0
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}  # noqa: TID251 -- no Config here

HAS_FAILED = pytest.StashKey[bool]()


# The suite is the same in every run; `make fuzz` looks for new examples, for long.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.register_profile("fuzz", max_examples=20_000, deadline=None)
hypothesis.settings.load_profile("suite")


# What is there to test with


def find_chromium() -> str | None:
    """Return the path of a Chromium, if this machine has one; CHROMIUM=… names another."""
    chosen = os.environ.get("CHROMIUM")  # noqa: TID251 -- no Config here
    names = (chosen,) if chosen else CHROMIUM_NAMES
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the Chromium that tests with the mark `browser` drive."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    return path


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as Offhook does."""
    return "asyncio"


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# Browser tests: skipped loudly without a browser, never in CI


def pytest_configure(config: pytest.Config) -> None:
    # A process whose parent dies becomes a child of ours, so that it cannot escape the check below.
    if hasattr(os, "pidfd_open"):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=late)


def late(item: pytest.Item) -> int:
    """Say how late a test runs: rules first, what measures time after, what drives a browser last.

    The tests in Chromium may run beside the others; by then they are over. Playwright also keeps an
    event loop in this thread.
    """
    if item.get_closest_marker("browser"):
        return 2
    return int(bool(item.get_closest_marker("process")) or "transports" in item.path.parts)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and find_chromium() is None:
        pytest.skip("no Chromium on this machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    if report.failed:
        item.stash[HAS_FAILED] = True
    if IN_CI and report.skipped and item.get_closest_marker("browser"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: a browser test may not be skipped in CI"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    outcome = yield
    if HAS_FAILED in item.stash:
        # What the traceback kept alive goes now, in silence: it is no fault of the next test.
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            sys.__dict__.pop(name, None)
        hook, sys.unraisablehook = sys.unraisablehook, lambda _unraisable: None
        gc.collect()
        sys.unraisablehook = hook
    return outcome


def pytest_terminal_summary(terminalreporter) -> None:
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if "no Chromium on this machine" in str(report.longrepr)
    ]
    if not skipped:
        return
    write = terminalreporter.write_line
    terminalreporter.section("BROWSER TESTS WERE SKIPPED", sep="!", red=True, bold=True)
    write(f"{len(skipped)} tests need Chromium, and this machine has none.", red=True, bold=True)
    write("Install it (Debian: apt-get install chromium) or name one: CHROMIUM=/path make test")


# Nothing is left behind


def eventually(is_settled: Callable[[], bool]) -> bool:
    """Give the world a moment to finish what has been asked of it; immediate when it has."""
    deadline = time.monotonic() + SETTLE_S  # noqa: TID251 -- the wall is what is waited for
    while not is_settled():
        if time.monotonic() > deadline:  # noqa: TID251
            return False
        real_sleep(0.01)
    return True


real_sleep = time.sleep


def open_fds() -> dict[int, str]:
    found = {}
    for entry in os.scandir("/proc/self/fd"):
        try:
            found[int(entry.name)] = str(Path(entry.path).readlink())
        except FileNotFoundError:
            continue  # the descriptor of this very listing
    return found


def descendants_of(pid: int) -> Iterator[int]:
    """Go through a process's children and theirs; 100 times faster than a look at all processes."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has gone meanwhile
            for child in map(int, children.read_text().split()):
                yield child
                yield from descendants_of(child)


def live_children() -> dict[int, str]:
    """Return our children, grandchildren and adopted orphans that still run; reap the dead."""
    found = {}
    for pid in descendants_of(os.getpid()):
        try:
            child = psutil.Process(pid)
            if child.status() == psutil.STATUS_ZOMBIE:
                reap_orphan(child)
            else:
                found[child.pid] = " ".join(child.cmdline()) or child.name()
        except psutil.NoSuchProcess:
            continue
    return found


def reap_orphan(child: psutil.Process) -> None:
    if child.ppid() == os.getpid():
        with contextlib.suppress(ChildProcessError):  # somebody else may have been faster
            os.waitpid(child.pid, os.WNOHANG)


def is_unrelated(command: str) -> bool:
    """Say whether a process belongs to a tool: a browser's come and go as it likes."""
    return any(word in command for word in ("resource_tracker", "chrom", "playwright"))


def is_below(pid: int, ancestors: Container[int]) -> bool:
    """Say whether a process belongs to one that was there before, such as a module's server."""
    try:
        return any(parent.pid in ancestors for parent in psutil.Process(pid).parents())
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a descriptor, a child process or a task behind."""
    if "anyio_backend" in request.fixturenames:
        request.getfixturevalue("no_task_left_behind")
    fds, children = open_fds(), live_children()
    yield

    def new_children() -> dict[int, str]:
        return {
            pid: command
            for pid, command in live_children().items()
            if pid not in children and not is_unrelated(command) and not is_below(pid, children)
        }

    def new_fds() -> dict[int, str]:
        return {fd: target for fd, target in open_fds().items() if fds.get(fd) != target}

    def is_clean() -> bool:
        if not new_fds():
            return True
        gc.collect()  # what is only kept by a cycle is no leak
        return not new_fds()

    if not eventually(lambda: not new_children()):
        left = new_children()
        for pid in left:
            psutil.Process(pid).kill()
        pytest.fail(f"child processes are left behind: {left}")
    if HAS_FAILED in request.node.stash:
        return  # its traceback keeps alive whatever it had in hands
    if not eventually(is_clean):
        pytest.fail(f"descriptors are left open: {new_fds()}")


def live_tasks() -> set[asyncio.Task]:
    """Return all tasks but those with which anyio itself runs tests and fixtures."""
    return {
        task
        for task in asyncio.all_tasks()
        if not getattr(task.get_coro(), "__qualname__", "").startswith("TestRunner.")
    }


@pytest.fixture
async def no_task_left_behind():
    before = live_tasks()
    yield
    with anyio.move_on_after(SETTLE_S):
        while live_tasks() - before:  # noqa: ASYNC110 -- nothing tells when a stranger's task ends
            await anyio.sleep(0.01)
    if left := live_tasks() - before:
        pytest.fail(f"tasks are left running: {[task.get_coro() for task in left]}")


@pytest.fixture(autouse=True)
def no_blocking_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test whose event loop sleeps with `time.sleep`, which would stop everybody's audio."""

    def sleep(seconds: float) -> None:
        try:
            is_async = asyncio.current_task() is not None
        except RuntimeError:
            is_async = False
        if is_async:
            raise AssertionError("time.sleep() was called on the event loop")
        real_sleep(seconds)

    monkeypatch.setattr(time, "sleep", sleep)

"""What the kernel is told about a process of ours, from inside, before any code of the bot runs."""

import ctypes
import os
import resource
import signal
import time
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
OOM_SCORE_OF_WORKER: Final = 500
REPARENT_TIMEOUT_S: Final = 2.0
REPARENT_POLL_S: Final = 0.0002

_libc = ctypes.CDLL(None, use_errno=True)


class OrphanedError(OSError):
    """The process that this one must not outlive is not its parent."""


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies, also in a busy loop (prctl(2)).

    A freshly forked worker waits here until its short-lived first parent has gone and the
    supervisor has inherited it, since the signal is tied to whoever is the parent at its time.

    Raises:
        OrphanedError: `parent_pid` did not become the parent; it is gone.
    """
    deadline = time.perf_counter() + REPARENT_TIMEOUT_S
    while os.getppid() != parent_pid:
        if time.perf_counter() > deadline:
            raise OrphanedError(f"parent is {os.getppid()}, not {parent_pid}")
        time.sleep(REPARENT_POLL_S)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise OrphanedError(f"process {parent_pid} has gone")


def become_subreaper() -> None:
    """Inherit the orphans among this process's descendants (prctl(2))."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def limit_worker() -> None:
    """No core files; and when memory is short, a worker goes before the server does."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_OF_WORKER))
    except OSError:
        return  # a sandbox may forbid it; the worker runs all the same


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

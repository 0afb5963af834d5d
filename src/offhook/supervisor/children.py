"""Starting, signalling and reaping: the supervisor's hands."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SINGLE_THREADED: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_THREAD_LIMIT": "1",  # for those that ask for a number of threads by themselves
    "MKL_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""What keeps numeric libraries from starting threads, which a fork would lose."""


def start(module: str, *arguments: str, fds: tuple[int, ...] = ()) -> int:
    """Start `python -m module` in a process group of its own, so that Ctrl-C reaches only us."""
    process = subprocess.Popen(  # noqa: S603 -- ourselves
        [sys.executable, "-m", module, *arguments],
        pass_fds=fds,
        stdin=subprocess.DEVNULL,
        process_group=0,
        env={**os.environ, **SINGLE_THREADED},  # noqa: TID251 -- handed on, not read
    )
    process.returncode = 0  # reaped by `reap`, together with all others
    return process.pid


def reap() -> Iterator[tuple[int, int]]:
    """Reap every child that has ended: pid and status. What it left in its group ends too."""
    while True:
        try:
            # Without reaping it yet: as long as it is there, no stranger can have its group's id.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        kill_group(ended.si_pid)
        yield os.waitpid(ended.si_pid, 0)


def kill_group(pid: int) -> None:
    """Kill the process and all of its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pid != os.getpgrp():
            os.killpg(pid, signal.SIGKILL)


def kill(pid: int) -> None:
    """Kill the process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def children() -> list[int]:
    """List the children of this process."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return []  # a kernel without it; the parent-death signal ends them
    return [int(pid) for pid in text.split()]


def explain(status: int) -> str:
    """Say in words how a process ended."""
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit code {os.WEXITSTATUS(status)}"

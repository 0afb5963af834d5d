"""A bot that inherits every trap of a fork, and says what its process is like."""

import gc
import json
import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np

NUMBERS = [signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT]

# What the author's libraries may have done before the fork.
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
np.random.seed(1)
BALLAST = [[] for _ in range(100_000)]
sys.stdout.write("printed while it was imported")


async def bot(runner_args):
    order = (runner_args.body or {}).get("do", "tell")
    if order == "wait":
        await runner_args.webrtc_connection.closed()
    elif order == "chat":
        sys.stdout.write("to standard output\n")
        sys.stderr.write("to standard error\n")
        sys.stdout.write("without an end")
    elif order == "raise":
        raise ValueError("the author sees this")
    else:
        json.dump(facts(), sys.stdout)


def facts():
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "is_group_leader": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "signals": {n.name: signal.getsignal(n) for n in NUMBERS},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "dice": np.random.random(),
        "frozen": gc.get_freeze_count(),
        "core_limit": resource.getrlimit(resource.RLIMIT_CORE),
        "oom_score": int(Path("/proc/self/oom_score_adj").read_text()),
        "files": {e.name: str(e.readlink()) for e in Path("/proc/self/fd").iterdir() if e.exists()},
        "environment": dict(os.environ),  # noqa: TID251 -- what it got
    }

"""What the kernel was told, seen from inside a process of its own."""

import os
import subprocess
import sys

import pytest

PROLOGUE = """
import os, resource, signal, subprocess, sys, time
from pathlib import Path
from offhook import kernel
from offhook.kernel import *
"""


def play(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROLOGUE + text, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)


def test_a_process_dies_with_its_parent_also_in_a_busy_loop() -> None:
    # The middle process prints the pid of a child that never looks up, and goes.
    result = play("""
reading, writing = os.pipe()
parent = os.getpid()
if (child := os.fork()) == 0:
    die_with_parent(parent)
    os.write(writing, b"armed")
    while True:
        pass
os.read(reading, 5)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""")
    assert result.returncode == -9
    # The output pipe has ended, which it would not have while the child lived.
    _, status = os.waitpid(int(result.stdout), 0)
    assert os.WTERMSIG(status) == 9


def test_a_worker_waits_until_the_supervisor_has_inherited_it() -> None:
    result = play("""
become_subreaper()
supervisor = os.getpid()
if (middle := os.fork()) == 0:
    if os.fork() == 0:
        die_with_parent(supervisor)
        os._exit(0 if os.getppid() == supervisor else 1)
    time.sleep(0.05)
    os._exit(0)
statuses = {os.wait()[0]: 0 for _ in range(2)}
sys.exit(len(statuses) - 2)
""")
    assert result.returncode == 0, result.stderr


def test_a_process_whose_parent_has_gone_already_is_told() -> None:
    result = play("""
kernel.REPARENT_TIMEOUT_S = 0.01
try:
    die_with_parent(1 << 22)
except OrphanedError as error:
    sys.exit(str(error))
""")
    assert f"parent is {os.getpid()}, not {1 << 22}" in result.stderr


def test_a_parent_that_goes_while_it_is_being_armed_is_noticed() -> None:
    result = play("""
answers = iter([7, 1])
os.getppid = lambda: next(answers)
try:
    die_with_parent(7)
except OrphanedError as error:
    sys.exit(str(error))
""")
    assert "process 7 has gone" in result.stderr


def test_a_worker_is_limited() -> None:
    result = play("""
limit_worker()
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
assert Path("/proc/self/oom_score_adj").read_text().strip() == "500"
""")
    assert result.returncode == 0, result.stderr


def test_a_sandbox_that_forbids_it_is_no_obstacle() -> None:
    result = play("""
def forbidden(self, text):
    raise PermissionError
Path.write_text = forbidden
limit_worker()
""")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("option", [-1])
def test_what_the_kernel_refuses_is_an_error_with_its_number(option: int) -> None:
    result = play(f"""
kernel.PR_SET_CHILD_SUBREAPER = {option}
try:
    become_subreaper()
except OSError as error:
    sys.exit(str(error.errno))
""")
    assert result.stderr.strip() == "22"

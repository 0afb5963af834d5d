"""Starting, reaping and killing, in a process whose children are all ours."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from offhook.supervisor.children import explain

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

PROLOGUE = """
import os, signal, subprocess, sys, time
from pathlib import Path
from offhook.kernel import become_subreaper
from offhook.supervisor import children

def statuses(count):
    found = {}
    while len(found) < count:
        found |= dict(children.reap())
        time.sleep(0.005)
    return found

def spawn(*command, **how):
    process = subprocess.Popen(command, **how)
    process.returncode = 0
    return process.pid
"""


def play(text: str) -> list[str]:
    """Run Python in a process of its own; return its lines."""
    result = subprocess.run(
        [sys.executable, "-c", PROLOGUE + text],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit code 0"), (3 << 8, "exit code 3"), (9, "killed by SIGKILL")],
)
def test_an_end_is_explained_in_words(status: int, words: str) -> None:
    assert explain(status) == words


def test_a_module_is_started_in_a_group_of_its_own_with_its_descriptors_and_one_thread(
    tmp_path: Path,
) -> None:
    (tmp_path / "child.py").write_text(
        "import os, sys\n"
        "os.write(int(sys.argv[1]), b'written')\n"
        "assert os.environ['OMP_NUM_THREADS'] == os.environ['MKL_NUM_THREADS'] == '1'\n"
        "assert os.getpgrp() == os.getpid()\n"
        "assert os.read(0, 1) == b''\n"
    )
    said = play(f"""
os.chdir({str(tmp_path)!r})
reading, writing = os.pipe()
os.set_inheritable(writing, True)
pid = children.start("child", str(writing), fds=(writing,))
assert children.children() == [pid]
assert statuses(1) == {{pid: 0}}
assert children.children() == []
print(os.read(reading, 10).decode())
""")
    assert said == ["written"]


def test_every_child_that_has_ended_is_reaped_once_and_nobody_is_waited_for() -> None:
    play("""
assert list(children.reap()) == []  # no child at all
pids = [spawn("/bin/sh", "-c", f"exit {n}") for n in range(5)]
stays = spawn("/bin/sleep", "60")
assert statuses(5) == {pid: n << 8 for n, pid in enumerate(pids)}
assert list(children.reap()) == []
children.kill(stays)
assert statuses(1) == {stays: signal.SIGKILL}
children.kill(stays)
children.kill_group(stays)
""")


def test_what_a_child_left_in_its_group_ends_with_it() -> None:
    play("""
become_subreaper()
pid = spawn("/bin/sh", "-c", "sleep 60 &", process_group=0)
found = statuses(2)
assert found.pop(pid) == 0
assert list(found.values()) == [signal.SIGKILL]
""")


def test_our_own_group_is_never_killed() -> None:
    play("""
os.setpgid(0, 0)
children.kill_group(os.getpid())
spawn("/bin/true")
statuses(1)
""")


def test_without_the_kernels_list_of_children_there_are_none_to_be_told() -> None:
    play("""
Path.read_text = lambda self: (_ for _ in ()).throw(FileNotFoundError())
spawn("/bin/true")
assert children.children() == []
statuses(1)
""")


def test_signals_of_ours_exist_on_this_system() -> None:
    assert explain(signal.SIGSEGV) == "killed by SIGSEGV"
    assert os.WIFSIGNALED(signal.SIGSEGV)

"""Starting and ending `offhook run`, with the mistakes that people make."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from offhook.testing.server import DidNotStartError, running

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

IDLE = "import anyio\nasync def bot(runner_args):\n    await anyio.sleep_forever()\n"
ENTRY = "if __name__ == '__main__':\n    from offhook.runner.run import main\n    main()\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "bot.py"
    path.write_text(text)
    return path


def launch(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "offhook", "run", str(path), "--port", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)


def eventually(what: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.perf_counter() + timeout_s
    while not what():
        assert time.perf_counter() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_a_file_that_cannot_be_imported_ends_with_its_own_traceback_and_code_3(
    tmp_path: Path, start_method: str
) -> None:
    bot = write(tmp_path, "import json\n\n\ndef broken():\n    json.loads('[')\n\n\nbroken()\n")
    result = launch(bot, "--start-method", start_method)
    assert result.returncode == 3
    assert "JSONDecodeError" in result.stderr
    assert f'File "{bot}", line 5, in broken' in result.stderr
    assert "offhook/worker" not in result.stderr
    assert result.stdout == ""


def test_a_syntax_error_is_shown_as_python_shows_it(tmp_path: Path) -> None:
    result = launch(write(tmp_path, "async def bot(runner_args:\n"))
    assert result.returncode == 3
    assert "SyntaxError" in result.stderr


def test_a_file_without_a_bot_is_told_what_to_write(tmp_path: Path) -> None:
    result = launch(write(tmp_path, "x = 1\n"))
    assert result.returncode == 3
    assert "async def bot(runner_args)" in result.stderr


def test_a_library_that_starts_a_thread_is_named_and_the_way_out_too(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    result = launch(write(tmp_path, "import noisy\n" + IDLE))
    assert result.returncode == 3
    assert "noisy started 1 thread" in result.stderr
    assert "--start-method spawn" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--host", "192.0.2.1"], 2, "--insecure"),
        (["--max-sessions", "0"], 2, "at least one"),
        (["--udp-ports", "9-3"], 2, "LOW-HIGH"),
        (["--ice-servers", "http://x"], 2, "no stun: or turn: URL"),
        (["--nonsense"], 2, "No such option"),
        (["-t", "pigeon"], 2, "pigeon"),
    ],
)
def test_a_wrong_flag_is_a_usage_error(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    result = launch(write(tmp_path, IDLE), *arguments)
    assert result.returncode == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    result = launch(tmp_path / "nowhere.py")
    assert result.returncode == 2
    assert "nowhere.py" in result.stderr


def test_a_port_that_is_taken_could_not_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = launch(write(tmp_path, IDLE), "--port", str(taken.getsockname()[1]))
    assert result.returncode == 3
    assert "choose another with --port" in result.stderr


def test_the_bots_own_main_is_the_same_as_offhook_run(tmp_path: Path) -> None:
    bot = write(tmp_path, IDLE + ENTRY)
    command = [sys.executable, str(bot), "-t", "webrtc", "--port", "0", "--warm", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip().removesuffix("/client/")
        try:
            status = httpx.get(f"{url}/status").json()
            assert status == {"status": "ready", "transports": ["webrtc"]}
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_within_a_second_when_nobody_talks(
    tmp_path: Path, number: int
) -> None:
    with running(write(tmp_path, IDLE)) as server:
        tree = server.descendants()
        assert len(tree) >= 4  # server, template, two warm workers
        begun = time.perf_counter()
        server.send_signal(number)
        assert server.wait() == 0
        assert time.perf_counter() - begun < 2.0
        assert not any(is_alive(pid) for pid in tree)


def test_when_the_supervisor_is_killed_nothing_survives(tmp_path: Path) -> None:
    with running(write(tmp_path, IDLE)) as server:
        tree = server.descendants()
        server.send_signal(signal.SIGKILL)
        server.wait()
        eventually(lambda: not any(is_alive(pid) for pid in tree))


def test_when_the_template_dies_another_takes_its_place(tmp_path: Path) -> None:
    with running(write(tmp_path, IDLE), "--warm", "1") as server:
        template = next(p for p, c in server.descendants().items() if "worker template" in c)
        os.kill(template, signal.SIGKILL)

        def has_another() -> bool:
            found = [p for p, c in server.descendants().items() if "worker template" in c]
            return len(found) >= 2 and template not in found

        eventually(has_another)
        eventually(lambda: httpx.get(f"{server.url}/health/ready").status_code == 200)
        assert "starting another" in server.output()


def test_a_template_that_keeps_dying_ends_with_a_message(tmp_path: Path) -> None:
    with running(write(tmp_path, IDLE), "--warm", "0") as server:
        seen: set[int] = set()

        def kill_the_next() -> bool:
            for pid, command in server.descendants().items():
                if "worker template" in command and pid not in seen:
                    seen.add(pid)
                    os.kill(pid, signal.SIGKILL)
            return server.process.poll() is not None

        eventually(kill_the_next, timeout_s=30)
        assert server.wait() == 3
        assert "keeps ending" in server.output()


def test_when_the_server_dies_it_is_said_and_nothing_survives(tmp_path: Path) -> None:
    with running(write(tmp_path, IDLE)) as server:
        tree = server.descendants()
        os.kill(next(p for p, c in tree.items() if "offhook.server" in c), signal.SIGKILL)
        assert server.wait() == 1
        assert "killed by SIGKILL" in server.output()
        eventually(lambda: not any(is_alive(pid) for pid in tree))


def test_idle_workers_that_die_are_replaced(tmp_path: Path) -> None:
    with running(write(tmp_path, IDLE), "--warm", "1") as server:

        def workers() -> list[int]:
            return [p for p in server.descendants() if os.getpgid(p) == os.getsid(p) == p]

        eventually(lambda: len(workers()) == 1)
        first = workers()[0]
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(workers()) == 1 and workers()[0] != first)


def test_without_isolation_everything_runs_in_one_process(tmp_path: Path) -> None:
    with running(write(tmp_path, IDLE), "--isolation", "none") as server:
        assert server.descendants() == {}
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
        assert "debugger" in server.output()


def test_what_could_not_start_is_reported_to_tests_with_its_output(tmp_path: Path) -> None:
    bot = write(tmp_path, "1 / 0\n")
    with pytest.raises(DidNotStartError, match="ZeroDivisionError"), running(bot):
        pass

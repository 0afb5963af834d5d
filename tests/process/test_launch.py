"""Starting and ending `offhook run`, with the mistakes that people make."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.bench.process import Family

from offhook.testing.server import OffhookProcess, running

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

IDLE = "import anyio\nasync def bot(runner_args):\n    await anyio.sleep_forever()\n"
OFFER = Path(__file__).parents[1] / "wire" / "sdp" / "valid" / "chromium-audio.sdp"
ENTRY = "if __name__ == '__main__':\n    from offhook.runner.run import main\n    main()\n"

Launched = subprocess.CompletedProcess[str]


def write(folder: Path, text: str) -> Path:
    path = folder / "bot.py"
    path.write_text(text)
    return path


def launch(path: Path, *arguments: str) -> Launched:
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


BROKEN = "import json\n\n\ndef broken():\n    json.loads('[')\n\n\nbroken()\n"
NOISY = (
    "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
)
LAUNCHES = {
    "broken": (BROKEN, ()),
    "broken, spawned": (BROKEN, ("--start-method", "spawn")),
    "syntax": ("async def bot(runner_args:\n", ()),
    "no bot": ("x = 1\n", ()),
    "noisy": ("import noisy\n" + IDLE, ()),
    "public": (IDLE, ("--host", "192.0.2.1")),
    "elsewhere": (IDLE, ("--host", "192.0.2.1", "--insecure")),
    "nonsense": (IDLE, ("--nonsense",)),
    "nowhere": (None, ()),
    "taken": (IDLE, ()),
}


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Launched]:
    """All that does not start, launched side by side."""
    base = tmp_path_factory.mktemp("launches")

    def run(name: str) -> Launched:
        text, arguments = LAUNCHES[name]
        folder = base / name.replace(", ", "-").replace(" ", "-")
        folder.mkdir()
        (folder / "noisy.py").write_text(NOISY)
        path = folder / "nowhere.py" if text is None else write(folder, text)
        return launch(path, *arguments, *(["--port", port] if name == "taken" else []))

    with ThreadPoolExecutor(4) as executor, socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        return dict(zip(LAUNCHES, executor.map(run, LAUNCHES), strict=True))


@pytest.mark.parametrize("how", ["broken", "broken, spawned"])
def test_a_file_that_cannot_be_imported_ends_with_its_own_traceback_and_code_3(
    launched: dict[str, Launched], how: str
) -> None:
    result = launched[how]
    assert result.returncode == 3
    assert "JSONDecodeError" in result.stderr
    assert re.search(r'File ".*/bot.py", line 5, in broken', result.stderr)
    assert "offhook/worker" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("syntax", "SyntaxError"),  # as Python shows it
        ("no bot", "async def bot(runner_args)"),
        ("noisy", "noisy started 1 thread"),
        ("noisy", "--start-method spawn"),
        ("elsewhere", "cannot listen on 192.0.2.1"),
        ("taken", "choose another with --port"),
    ],
)
def test_what_could_not_start_ends_with_code_3_and_says_why_or_what_to_do(
    launched: dict[str, Launched], name: str, said: str
) -> None:
    assert launched[name].returncode == 3
    assert said in launched[name].stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [("public", "--insecure"), ("nonsense", "No such option"), ("nowhere", "nowhere.py")],
)
def test_a_usage_error_ends_with_code_2_and_no_traceback(
    launched: dict[str, Launched], name: str, said: str
) -> None:
    assert launched[name].returncode == 2
    assert said in launched[name].stderr
    assert "Traceback" not in launched[name].stderr


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
            begun = time.perf_counter()
            process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
        assert time.perf_counter() - begun < 2.0


def test_a_signal_ends_everything_within_a_second_when_nobody_talks(tmp_path: Path) -> None:
    with running(write(tmp_path, IDLE)) as server:
        tree = server.descendants()
        assert len(tree) >= 4  # server, template, two warm workers
        begun = time.perf_counter()
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.perf_counter() - begun < 2.0
        assert not any(is_alive(pid) for pid in tree)


def test_when_the_supervisor_is_killed_nothing_survives_not_even_a_busy_loop(
    tmp_path: Path,
) -> None:
    busy = "async def bot(runner_args):\n    print('busy', flush=True)\n    while True: pass\n"
    with running(write(tmp_path, busy)) as server:
        offer = {"sdp": OFFER.read_text(), "type": "offer"}
        with pytest.raises(httpx.TimeoutException):  # it will never be answered
            httpx.post(f"{server.url}/api/offer", json=offer, timeout=0.5)
        eventually(lambda: "line=busy" in server.output())
        tree = server.descendants()
        server.send_signal(signal.SIGKILL)
        server.wait()
        eventually(lambda: not any(is_alive(pid) for pid in tree))


def test_a_template_that_dies_is_replaced_but_one_that_keeps_dying_ends_it(
    tmp_path: Path,
) -> None:
    with running(write(tmp_path, IDLE), "--warm", "1") as server:

        def templates() -> set[int]:
            return {p for p, c in server.descendants().items() if "worker template" in c}

        (first,) = (p for p in templates() if os.getsid(p) != p)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: "starting another" in server.output())
        eventually(lambda: any(os.getsid(p) != p for p in templates()))
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
        seen: set[int] = set()

        def kill_the_next() -> bool:
            for pid in templates() - seen:
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


def test_idle_workers_that_die_are_replaced(server: OffhookProcess) -> None:
    family = Family(server)
    before = family.wait_until_warm(2)
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: len(set(family.workers()) - set(before)) == 1)
    assert before[1] in family.workers()

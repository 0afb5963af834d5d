"""A real supervisor in a process of its own, over stand-ins that behave as badly as they can."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

ROOT = Path(__file__).parents[2]
NEVER_S = 60.0


class Play:
    """The supervisor's process and what its server wrote down."""

    def __init__(self, folder: Path, **roles: object) -> None:
        self.diary = folder / "diary"
        self.diary.touch()
        play = {"server": "serves", "template": "stays", "start_timeout_s": NEVER_S}
        play |= roles | {"diary": str(self.diary)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.supervisor.driver", json.dumps(play)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []

    def line(self, containing: str = "") -> str:
        """Wait until it says something."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            if containing in line:
                return line.strip()
        raise AssertionError(f"it never said {containing!r}: {self.said}")

    def end(self) -> int:
        """Wait for its end; what it said until then is kept."""
        assert self.process.stdout is not None
        self.said += self.process.stdout.read().splitlines()
        return self.process.wait(20)

    def told(self, kind: str) -> list[dict[str, Any]]:
        notes = [json.loads(line) for line in self.diary.read_text().splitlines()]
        return [note for note in notes if note.get("told") == kind]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.perf_counter() + 20
        while not condition():
            assert time.perf_counter() < deadline, self.diary.read_text()
            time.sleep(0.005)

    def first_note(self) -> dict[str, Any]:
        note: dict[str, Any] = json.loads(self.diary.read_text().splitlines()[0])
        return note


@contextlib.contextmanager
def playing(folder: Path, **roles: object) -> Iterator[Play]:
    play = Play(folder, **roles)
    try:
        yield play
    finally:
        play.process.kill()
        play.process.wait()
        assert play.process.stdout is not None
        play.process.stdout.close()


def test_the_server_gets_the_sockets_and_its_readiness_is_passed_on(tmp_path: Path) -> None:
    with playing(tmp_path) as play:
        _, url, port = play.line("ready").split()
        assert url == "http://localhost:1"
        assert play.first_note() == {"listens": [int(port)], "group": True}
        (started,) = play.told("TemplateStarted")
        assert started["generation"] == 1
        play.process.send_signal(signal.SIGTERM)
        assert play.end() == 0
        assert [stop["grace_s"] for stop in play.told("StopServer")] == [0.2]


def test_a_server_that_does_not_stop_is_ended_by_force(tmp_path: Path) -> None:
    with playing(tmp_path, server="ignores the stop") as play:
        play.line("ready")
        play.process.send_signal(signal.SIGINT)
        assert play.end() == 0
        assert play.said[-1] == "The server did not end in time; ending everything by force."


def test_a_second_signal_does_not_wait_for_the_server(tmp_path: Path) -> None:
    with playing(tmp_path, server="ignores the stop") as play:
        play.line("ready")
        play.process.send_signal(signal.SIGINT)
        play.until(lambda: play.told("StopServer"))
        play.process.send_signal(signal.SIGINT)
        assert play.end() == 0
        assert play.said[-1] == "Ending now."


@pytest.mark.parametrize("server", ["never ready", "speaks nonsense"])
def test_when_nothing_is_ready_in_time_it_gives_up(tmp_path: Path, server: str) -> None:
    with playing(tmp_path, server=server, start_timeout_s=2.0) as play:
        assert play.end() == 3
        assert play.said == ["Nothing was ready within 2 s; giving up."]


@pytest.mark.parametrize(
    ("server", "code", "end"),
    [
        ("fails", 3, "exit code 7"),
        ("ends at once", 3, "exit code 0"),
        ("dies", 1, "killed by SIGABRT"),
        ("closes its channel", 1, "exit code 5"),
    ],
)
def test_a_server_that_goes_takes_all_with_it_and_it_is_said_how(
    tmp_path: Path, server: str, code: int, end: str
) -> None:
    with playing(tmp_path, server=server) as play:
        assert play.end() == code
        assert play.said[-1] == f"The server has gone ({end}); its sessions end with it."


def test_a_template_that_fails_before_anything_is_ready_has_said_why_itself(tmp_path: Path) -> None:
    with playing(tmp_path, server="never ready", template="fails") as play:
        assert play.end() == 3
        assert play.said == []


def test_a_template_that_is_killed_before_anything_is_ready_is_spoken_for(tmp_path: Path) -> None:
    with playing(tmp_path, server="never ready", template="dies") as play:
        assert play.end() == 3
        assert play.said == ["The bot's file could not be loaded (killed by SIGSEGV)."]


def test_a_template_that_dies_is_replaced_but_not_for_ever(tmp_path: Path) -> None:
    with playing(tmp_path, template="keeps dying") as play:
        assert play.end() == 3
        assert len([each for each in play.said if "starting another" in each]) == 3
        assert play.said[-1] == "The template keeps ending (killed by SIGSEGV); giving up."
        assert [each["generation"] for each in play.told("TemplateStarted")] == [1, 2, 3, 4]
        exits = play.told("TemplateExited")
        assert [each["generation"] for each in exits][:3] == [1, 2, 3]
        assert {each["status"] for each in exits} == {signal.SIGSEGV}


def test_whoever_is_inherited_is_reaped_reported_and_ended_at_the_end(tmp_path: Path) -> None:
    with playing(tmp_path, template="orphans") as play:
        play.line("ready")
        play.until(lambda: play.told("ChildExited"))
        assert [each["status"] >> 8 for each in play.told("ChildExited")] == [3]
        play.process.send_signal(signal.SIGINT)
        assert play.end() == 0  # the driver itself looks for what is left


def test_a_server_that_does_not_read_is_killed(tmp_path: Path) -> None:
    with playing(tmp_path, server="does not read", template="orphans without end") as play:
        assert play.end() == 1
        assert "killed by SIGKILL" in play.said[-1]

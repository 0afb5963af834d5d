"""The server in a child process that tests run, over bots that start and bots that do not."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from offhook.testing import server as testing_server
from offhook.testing.server import DidNotStartError, OffhookProcess, running

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

BOT = "import os, sys\nsys.stderr.write(f'greeting={os.environ.get(\"GREETING\")}\\n')\n"
BOT += "async def bot(runner_args): ...\n"


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bot") / "bot.py"
    path.write_text(BOT)
    return path


@pytest.fixture(scope="module")
def server(bot: Path) -> Iterator[OffhookProcess]:
    with running(bot, "--warm", "1", env={"GREETING": "hello"}) as server:
        yield server


def test_its_address_answers(server: OffhookProcess) -> None:
    assert server.url.startswith("http://localhost:")
    assert httpx.get(f"{server.url}/health/ready").status_code == 200


def test_it_runs_with_the_given_environment_and_what_it_prints_can_be_read(
    server: OffhookProcess,
) -> None:
    assert "greeting=hello" in server.output()
    assert server.output() == server.output()


def test_its_family_is_listed_with_command_lines(server: OffhookProcess) -> None:
    family = server.descendants()
    assert server.process.pid not in family
    assert any("offhook.server" in command for command in family.values())
    assert any("offhook.worker template" in command for command in family.values())


def test_a_signal_ends_it_and_at_the_end_of_the_block_all_is_gone(bot: Path) -> None:
    with running(bot, "--warm", "0") as server:
        family = server.descendants()
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert server.descendants() == {}
    assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []


def test_what_does_not_start_is_shown_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "bot.py"
    path.write_text("1 / 0\n")
    with pytest.raises(DidNotStartError, match=r"(?s)exit code.*ZeroDivisionError"), running(path):
        pass


def test_what_says_nothing_in_time_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing_server, "END_TIMEOUT_S", 0.5)
    path = tmp_path / "bot.py"
    path.write_text("import time\ntime.sleep(60)\n")
    server = OffhookProcess(path)
    with pytest.raises(DidNotStartError, match="exit code None"):
        server.wait_until_ready(0.01)
    with pytest.raises(subprocess.TimeoutExpired):
        server.wait(0.01)
    server.close()


def test_one_that_does_not_end_politely_is_killed(
    bot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing_server, "END_TIMEOUT_S", 0.1)
    with running(bot, "--warm", "0") as server:
        os.kill(server.process.pid, signal.SIGSTOP)
    assert server.process.returncode == -signal.SIGKILL

"""`offhook run`: what is checked and said before anything is started."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from offhook.cli.run import NoBotFileError, run_bot
from offhook.errors import UsageError
from offhook.server.config import Config
from offhook.supervisor.sockets import AddressError


def run(bot: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "offhook", "run", str(bot), "--port", "0", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text("raise KeyError('a mistake')\n")
    return path


def test_a_file_that_is_not_there_is_named_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoBotFileError, match=str(tmp_path / "mine.py")) as caught:
        run_bot(Path("mine.py"), Config())
    assert isinstance(caught.value, UsageError)
    assert "async def bot" in caught.value.hint


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NoBotFileError):
        run_bot(tmp_path, Config())


def test_the_port_is_taken_before_anything_is_started_or_said(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AddressError):
        run_bot(broken, Config(port=taken.getsockname()[1]))
    assert capsys.readouterr() == ("", "")


@pytest.mark.process
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "Starting mine.py …"),
        (["--start-method", "spawn"], "Each worker is a fresh interpreter"),
        (["--isolation", "none"], "All sessions run in this one process"),
    ],
    ids=["fork", "spawn", "none"],
)
def test_how_it_starts_is_said_and_its_end_is_the_exit_code(
    broken: Path, flags: list[str], said: str
) -> None:
    result = run(broken, *flags)
    assert result.returncode == 3
    assert said in result.stderr
    assert "KeyError: 'a mistake'" in result.stderr
    assert result.stdout == ""

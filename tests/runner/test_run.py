"""What a bot's file ends with."""

import subprocess
import sys
from pathlib import Path

import pytest

from offhook.runner import run
from offhook.server.app import create_app

ENTRY = "print('at the top')\nfrom offhook.runner.run import main\nmain()\n"


def execute(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=15, check=False
    )


def test_it_becomes_offhook_run_with_the_same_flags(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text(ENTRY)
    result = execute("bot.py", "-t", "pigeon", cwd=tmp_path)
    assert result.returncode == 2
    assert "pigeon" in result.stderr
    assert result.stdout == "at the top\n"  # once: the new process did not import it


def test_the_file_is_found_from_wherever_it_was_started(tmp_path: Path) -> None:
    folder = tmp_path / "my bots"
    folder.mkdir()
    (folder / "bot.py").write_text(ENTRY)
    result = execute("my bots/bot.py", "--host", "192.0.2.1", "--insecure", cwd=tmp_path)
    assert result.returncode == 3
    assert "cannot listen on 192.0.2.1" in result.stderr
    assert "Starting" not in result.stderr


def test_without_a_file_it_says_what_to_use_instead(tmp_path: Path) -> None:
    result = execute("-c", "from offhook.runner.run import main; main()", cwd=tmp_path)
    assert result.returncode == 1
    assert "offhook run FILE" in result.stderr


def test_it_gives_no_more_than_it_promises() -> None:
    assert run.__all__ == ["create_app", "main"]
    assert run.create_app is create_app


def test_nothing_of_the_bots_world_is_imported_for_it(tmp_path: Path) -> None:
    listing = "import sys, offhook.runner.run; print(*sys.modules)"
    loaded = execute("-c", listing, cwd=tmp_path).stdout.split()
    assert not {"aiortc", "av", "numpy", "offhook.kit", "offhook.worker"} & set(loaded)
    assert "offhook.runner.run" in loaded


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_the_commands_own(tmp_path: Path, flag: str) -> None:
    (tmp_path / "bot.py").write_text(ENTRY)
    result = execute("bot.py", flag, cwd=tmp_path)
    assert result.returncode == 0
    assert "--max-sessions" in result.stdout

"""The command, and how it ends."""

import pytest

import offhook
from offhook.cli.main import main


@pytest.fixture
def offhook_command(monkeypatch, capsys):
    """Run the command in this process; return its exit code and what it printed."""

    def run(*arguments: str):
        monkeypatch.setattr("sys.argv", ["offhook", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    return run


def test_the_version_is_told(offhook_command):
    code, printed = offhook_command("--version")
    assert (code, printed.out) == (0, f"offhook, version {offhook.__version__}\n")


def test_help_lists_every_flag_with_its_meaning(offhook_command):
    code, printed = offhook_command("run", "-h")
    assert code == 0
    assert "--max-sessions" in printed.out
    assert "Sessions that may be live at once." in printed.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sing"], "sing"),
        (["run"], "BOT"),
        (["run", "nowhere.py"], "there is no file"),
        (["run", "bot.py", "--port", "x"], "--port"),
        (["run", "bot.py", "--port", "99999"], "error: --port 99999"),
        (["run", "bot.py", "--host", "::"], "--insecure"),
    ],
)
def test_a_usage_error_ends_with_2_and_says_what_to_change(offhook_command, arguments, words):
    code, printed = offhook_command(*arguments)
    assert code == 2
    assert words in printed.err
    assert printed.out == ""


def test_an_address_that_cannot_be_listened_on_ends_with_3(offhook_command, tmp_path):
    bot = tmp_path / "bot.py"
    bot.touch()
    code, printed = offhook_command("run", str(bot), "--host", "203.0.113.1", "--insecure")
    assert code == 3
    assert "203.0.113.1" in printed.err

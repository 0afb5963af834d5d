"""What the person at the terminal sees."""

import pytest

from offhook.cli.banner import print_ready
from offhook.server.config import Config


def test_the_address_is_the_result_and_the_rest_is_not(capsys):
    print_ready("http://localhost:7860", Config(max_sessions=7, warm=3))
    printed = capsys.readouterr()
    assert printed.out == "http://localhost:7860/client/\n"
    assert "up to 7 sessions, a process each, 3 kept warm" in printed.err
    assert "anybody" not in printed.err


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Config(isolation="none"), "one process for all"),
        (Config(host="::", insecure=True), "anybody who reaches this address can start bots"),
    ],
)
def test_what_is_unusual_is_said(capsys, config, words):
    print_ready("http://host", config)
    assert words in capsys.readouterr().err

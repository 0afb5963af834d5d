"""Flags and variables become the configuration."""

import click
import pytest
from click.testing import CliRunner

from offhook.cli.options import config_options, to_config
from offhook.errors import UsageError
from offhook.protocol.control import IceServer
from offhook.server.config import Config


def configure(*arguments: str, **variables: str) -> Config:
    """Run a command with these flags and OFFHOOK_ variables; return what it was given."""
    given = []

    @click.command()
    @config_options
    def command(**values):
        given.append(to_config(values))

    env = {f"OFFHOOK_{name}": value for name, value in variables.items()}
    result = CliRunner().invoke(command, arguments, env=env, catch_exceptions=False)
    if result.exit_code:
        raise click.ClickException(result.output)
    return given[0]


def test_without_flags_everything_has_its_default():
    assert configure() == Config()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "0"], Config(port=0)),
        (["-t", "webrtc"], Config(transport="webrtc")),
        (["--udp-ports", "40000-40100"], Config(udp_ports=(40000, 40100))),
        (["--max-sessions", "3", "--warm", "0"], Config(max_sessions=3, warm=0)),
        (["--isolation", "none"], Config(isolation="none")),
        (["--start-method", "spawn"], Config(start_method="spawn")),
        (["--host", "::", "--insecure"], Config(host="::", insecure=True)),
        (["-vv"], Config(verbose=2)),
        (["--close-timeout-s", "0.5"], Config(close_timeout_s=0.5)),
        (["--allowed-origins", "a,b"], Config(allowed_origins=("a", "b"))),
        (["--allowed-origins", "a", "--allowed-origins", "b"], Config(allowed_origins=("a", "b"))),
        (
            ["--ice-servers", "stun:a,turn:b"],
            Config(ice_servers=(IceServer(urls="stun:a"), IceServer(urls="turn:b"))),
        ),
    ],
)
def test_a_flag_sets_its_field(arguments, expected):
    assert configure(*arguments) == expected


def test_a_variable_sets_its_field_and_a_flag_wins():
    assert configure(PORT="1234").port == 1234
    assert configure("--port", "4321", PORT="1234").port == 4321
    assert configure(UDP_PORTS="1-2").udp_ports == (1, 2)


def test_an_unknown_choice_is_named_with_what_there_is():
    with pytest.raises(click.ClickException, match="webrtc"):
        configure("-t", "pigeon")


def test_a_value_that_cannot_work_is_a_usage_error():
    with pytest.raises(UsageError, match="--udp-ports"):
        configure("--udp-ports", "9")

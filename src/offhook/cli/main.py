"""The command `offhook`: results on standard output, everything else on standard error."""

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

import offhook
from offhook.cli.options import config_options, to_config
from offhook.cli.run import run_bot
from offhook.errors import UsageError
from offhook.protocol.control import ExitCode
from offhook.supervisor.sockets import AddressError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(offhook.__version__, prog_name="offhook")
def commands() -> None:
    """Voice bots that pick up: every session in a process of its own."""


@commands.command()
@click.argument("bot", type=click.Path(path_type=Path))
@config_options
def run(bot: Path, **values: Any) -> None:  # noqa: ANN401 -- the fields of Config
    """Serve the bot in the file BOT: `async def bot(runner_args)`."""
    sys.exit(run_bot(bot, to_config(values)))


def main() -> NoReturn:
    """Run a command; end with 0, 1, 2 (usage) or 3 (could not start)."""
    try:
        commands(prog_name="offhook", standalone_mode=True)
    except UsageError as error:
        click.echo(f"error: {error.detail}", err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        is_address = isinstance(error, AddressError)
        sys.exit(ExitCode.COULD_NOT_START if is_address else ExitCode.USAGE)
    sys.exit(ExitCode.OK)

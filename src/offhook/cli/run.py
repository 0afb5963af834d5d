"""`offhook run`: check, bind, then supervise; or run everything here, for a debugger."""

from functools import partial
from pathlib import Path

import click

from offhook.cli.banner import print_ready
from offhook.errors import UsageError
from offhook.server.config import Config
from offhook.supervisor.sockets import listen
from offhook.supervisor.supervisor import Supervisor


class NoBotFileError(UsageError):
    """There is no such file."""

    code = "no_bot_file"
    hint = "Name the Python file that has `async def bot(runner_args)`."


def run_bot(bot: Path, config: Config) -> int:
    """Serve until told to stop; return the exit code.

    Raises:
        UsageError: Nothing can be served like that.
    """
    bot = bot.resolve()
    if not bot.is_file():
        raise NoBotFileError(f"there is no file {bot}")
    sockets = listen(config.host, config.port)
    on_ready = partial(print_ready, config=config)
    say(f"Starting {bot.name} …")
    if config.isolation == "none":
        from offhook.cli.in_process import serve_in_process  # noqa: PLC0415 -- imports the bot's world

        say("All sessions run in this one process (--isolation none): for a debugger only.")
        return serve_in_process(bot, config, sockets, on_ready=on_ready)
    if config.start_method == "spawn":
        say("Each worker is a fresh interpreter (--start-method spawn): slower to start.")
    return Supervisor(config, bot, sockets, on_ready=on_ready, say=say).run()


def say(text: str) -> None:
    """Tell the person at the terminal."""
    click.echo(text, err=True)

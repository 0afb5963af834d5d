"""`python -m offhook.worker ROLE …`: the template, a spawned worker, or a check of the bot's file.

Started by our own processes only.
"""

import socket
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from offhook.errors import UsageError
from offhook.protocol.control import BootTemplate, ExitCode
from offhook.worker import template
from offhook.worker.load import load_bot, prewarm_all


def main(arguments: list[str]) -> NoReturn:
    """Take the role that the first argument names."""
    role, *rest = arguments
    if role == "template":
        template.run_template(socket.socket(fileno=int(rest[0])))
    boot = msgspec.json.decode(rest[0], type=BootTemplate)
    try:
        bot = load_bot(Path(boot.bot))
        if role == "check":
            sys.exit(ExitCode.OK)
        prewarm_all(bot)
    except UsageError as error:
        print(f"error: {error.detail}\n  {error.hint}", file=sys.stderr)  # noqa: T201 -- for the operator
        sys.exit(ExitCode.COULD_NOT_START)
    except Exception:  # noqa: BLE001 -- the author's file may raise anything
        template.print_bot_traceback()
        sys.exit(ExitCode.COULD_NOT_START)
    from offhook.worker.main import run_worker  # noqa: PLC0415 -- not needed for a check

    run_worker(boot, bot, channel=int(rest[1]), rehearse=rest[2] == "1")


if __name__ == "__main__":
    main(sys.argv[1:])

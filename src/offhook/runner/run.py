"""What a bot file ends with: `from offhook.runner.run import main; main()`."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from offhook.server.app import create_app

__all__ = ["create_app", "main"]


def main() -> NoReturn:
    """Run the file that called this: the same as `offhook run FILE` with the same flags.

    This process becomes the supervisor, a fresh interpreter, so that what the bot imported so
    far is not carried along.
    """
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is None:
        sys.exit("error: main() runs the file that calls it; use `offhook run FILE` elsewhere")
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", "offhook", "run", str(Path(script).resolve()), *sys.argv[1:]]
    os.execv(command[0], command)  # noqa: S606 -- ourselves

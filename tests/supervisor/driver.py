"""A process in which a supervisor runs, over stand-ins for the server and the template."""

import json
import sys
from pathlib import Path

from offhook.server.config import Config
from offhook.supervisor import children, supervisor
from offhook.supervisor.sockets import listen

real_start = children.start


def say(words: str) -> None:
    print(words, flush=True)  # noqa: T201 -- what the test reads


def main(text: str) -> int:
    play = json.loads(text)

    def start(module: str, *arguments: str, fds: tuple[int, ...] = ()) -> int:
        if module == "offhook.server":
            return real_start(
                "tests.supervisor.standin_server",
                play["server"],
                play["diary"],
                *arguments,
                fds=fds,
            )
        return real_start(
            "tests.supervisor.standin_template", play["template"], *arguments, fds=fds
        )

    children.start = start
    supervisor.START_TIMEOUT_S = play["start_timeout_s"]
    supervisor.STOP_MARGIN_S = 0.2
    sockets = listen("127.0.0.1", 0)
    code = supervisor.Supervisor(
        Config(warm=5, close_timeout_s=0.2),
        Path("bot.py"),
        sockets,
        on_ready=lambda url: say(f"ready {url} {sockets[0].getsockname()[1]}"),
        say=say,
    ).run()
    assert children.children() == [], "left behind"
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

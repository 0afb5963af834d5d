"""In place of the server: does what its first argument says, and writes down what it was told."""

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path

from offhook.channel import ChannelClosedError, receive_record, send_record
from offhook.protocol.control import BootServer, ServerReady, StopServer, TemplateStarted
from offhook.server.config import Config


def main(behaviour: str, diary: str, channel_fd: str, supervisor_pid: str) -> None:
    sock = socket.socket(fileno=int(channel_fd))
    boot, fds = receive_record(sock)
    assert isinstance(boot, BootServer)
    assert Config.decode(boot.config).warm == 5
    assert int(supervisor_pid) == os.getppid()

    def note(**what: object) -> None:
        with Path(diary).open("a") as file:
            file.write(json.dumps(what) + "\n")

    listening = [socket.socket(fileno=fd) for fd in fds]
    note(listens=[each.getsockname()[1] for each in listening], group=os.getpgrp() == os.getpid())
    if behaviour == "fails":
        sys.exit(7)
    with contextlib.suppress(ChannelClosedError):
        while True:
            message, fds = receive_record(sock)
            note(
                told=type(message).__name__,
                **{n: getattr(message, n) for n in message.__struct_fields__},
            )
            if isinstance(message, TemplateStarted) and message.generation == 1:
                start(behaviour, sock)
            if isinstance(message, StopServer) and behaviour != "ignores the stop":
                sys.exit(0)


def start(behaviour: str, sock: socket.socket) -> None:
    match behaviour:
        case "never ready":
            return
        case "speaks nonsense":
            sock.send(b"\xff")
            return
        case "ends at once":
            sys.exit(0)
    send_record(sock, ServerReady(url="http://localhost:1"), [0])
    match behaviour:
        case "dies":
            os.abort()
        case "closes its channel":
            sock.close()
            time.sleep(0.3)
            sys.exit(5)
        case "does not read":
            time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])

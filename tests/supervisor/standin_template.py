"""In place of the template: stays, or ends as its first argument says."""

import os
import signal
import socket
import subprocess
import sys
import time

from offhook.channel import receive_record
from offhook.protocol.control import BootTemplate


def main(behaviour: str, _role: str, channel_fd: str) -> None:
    sock = socket.socket(fileno=int(channel_fd))
    boot = receive_record(sock).message
    assert isinstance(boot, BootTemplate)
    assert boot.supervisor_pid == os.getppid()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"  # noqa: TID251 -- what it got
    match behaviour:
        case "fails":
            sys.exit(3)
        case "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "dies later":
            sock.recv(1)  # until the server is ready and writes, which this stand-in never does
        case "keeps dying":
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGSEGV)
        case "orphans":
            leave_orphans(1)
        case "orphans without end":
            leave_orphans(1000)
    time.sleep(60)


def leave_orphans(count: int) -> None:
    """Leave processes that end (a single one with 3), and one that stays, to whoever inherits."""
    if os.fork() == 0:
        leaver = os.getpid()
        for _ in range(count):
            if os.fork() == 0 and count == 1:
                os._exit(3)
            elif os.getpid() != leaver:
                os.kill(os.getpid(), signal.SIGKILL)
        subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

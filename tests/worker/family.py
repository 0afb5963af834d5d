"""A real template and its workers; the test is the supervisor and the server."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from offhook.channel import receive_record, send_record, socket_pair
from offhook.protocol.control import (
    AnyMessage,
    BootTemplate,
    ForkWorker,
    Heartbeat,
    Progress,
    SessionEnded,
    StartBot,
    TemplateReady,
    WorkerForked,
    WorkerReady,
)
from offhook.supervisor.children import SINGLE_THREADED

PATIENCE_S = 30.0
READ_BYTES = 1 << 16


class Worker:
    """A worker's process: its channel and what it prints."""

    def __init__(self, pid: int, channel: socket.socket, output: int) -> None:
        self.pid, self.channel = pid, channel
        self._output = output
        self.printed = b""

    def receive(self) -> AnyMessage:
        """Wait for its next message of interest."""
        while isinstance(message := receive_record(self.channel).message, Progress | Heartbeat):
            pass
        return message

    def ready(self) -> WorkerReady:
        message = self.receive()
        assert isinstance(message, WorkerReady)
        return message

    def start(self, **body: Any) -> None:
        start = StartBot(session_id="local~x", kind="webrtc", body=json.dumps(body).encode())
        send_record(self.channel, start)

    def run(self, **body: Any) -> SessionEnded:
        """Run its one session to the end."""
        self.ready()
        self.start(**body)
        message = self.receive()
        assert isinstance(message, SessionEnded)
        return message

    def read(self) -> bytes:
        """Wait for something that it prints; nothing is the end of it."""
        return os.read(self._output, READ_BYTES)

    def reap(self) -> int:
        """Wait for the end of the process; return its exit code, negative for a signal."""
        while data := self.read():
            self.printed += data
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def facts(self) -> dict[str, Any]:
        """What the bot `probe.py` says of its process."""
        assert self.run().reason == "bot_finished"
        assert self.reap() == 0
        found: dict[str, Any] = json.loads(self.printed)
        return found

    def close(self) -> None:
        self.channel.close()
        os.close(self._output)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class Template:
    """A template's process."""

    def __init__(self, bot: Path, *, start_method: str = "fork") -> None:
        self.sock, theirs = socket_pair()
        self.sock.settimeout(PATIENCE_S)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 -- as long as the object
        self._count = 0
        # Buffered, as output to a file is, so that it matters what is flushed when.
        buffered = {"PYTHONUNBUFFERED": ""}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "offhook.worker", "template", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **SINGLE_THREADED, **buffered},  # noqa: TID251 -- handed on
            )
        boot = BootTemplate(
            bot=str(bot), generation=7, start_method=start_method, supervisor_pid=os.getpid()
        )
        send_record(self.sock, boot)

    def ready(self) -> TemplateReady:
        message = receive_record(self.sock).message
        assert isinstance(message, TemplateReady)
        self.report = message
        return message

    def order(self, *, rehearse: bool = False) -> tuple[socket.socket, int]:
        """Order a worker; return our ends of its channel and of its output."""
        self._count += 1
        ours, theirs = socket_pair()
        ours.settimeout(PATIENCE_S)
        reading, writing = os.pipe()
        with theirs:
            order = ForkWorker(worker_id=f"w{self._count}", rehearse=rehearse)
            send_record(self.sock, order, [theirs.fileno(), writing])
        os.close(writing)
        return ours, reading

    @contextlib.contextmanager
    def worker(self, *, rehearse: bool = False) -> Iterator[Worker]:
        """A worker inside the block."""
        channel, output = self.order(rehearse=rehearse)
        forked = receive_record(self.sock).message
        assert isinstance(forked, WorkerForked)
        assert forked.worker_id == f"w{self._count}"
        worker = Worker(forked.pid, channel, output)
        try:
            yield worker
        finally:
            worker.close()

    def output(self) -> str:
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode()

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self.sock.close()
        try:
            self.wait()
        finally:
            self.process.kill()
            self.process.wait()
            self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""A real `offhook run` in a child process, for tests: yours and ours."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

START_TIMEOUT_S: Final = 30.0
END_TIMEOUT_S: Final = 15.0


class DidNotStartError(RuntimeError):
    """The server ended, or said nothing, before it was ready."""


class OffhookProcess:
    """A running `offhook run BOT …`, with its process tree and what it printed.

    Attributes:
        url: Where it answers, without a slash at the end.
    """

    def __init__(
        self, bot: Path | str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 -- as long as the object
        command = [sys.executable, "-m", "offhook", "run", str(bot), "--port", "0", *arguments]
        self.process = subprocess.Popen(  # noqa: S603 -- ourselves
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **(env or {})},  # noqa: TID251 -- handed on, not read
            start_new_session=True,
        )
        self.url = ""

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Wait for the address on standard output.

        Raises:
            DidNotStartError: It ended or said nothing; the message has its output.
        """
        assert self.process.stdout is not None  # noqa: S101 -- a pipe, see above
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(timeout_s) else b""
        if not line:
            code = self.process.poll()
            raise DidNotStartError(f"not ready (exit code {code}):\n{self.output()}")
        self.url = line.decode().strip().removesuffix("/client/")
        return self

    def output(self) -> str:
        """Return what it has printed for people so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def send_signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = END_TIMEOUT_S) -> int:
        """Wait for its end; return the exit code.

        Raises:
            subprocess.TimeoutExpired: It goes on.
        """
        return self.process.wait(timeout_s)

    def descendants(self) -> dict[int, str]:
        """List the processes below the supervisor: pid and command line."""
        found: dict[int, str] = {}
        parents = [self.process.pid]
        while parents:
            pid = parents.pop()
            with contextlib.suppress(OSError):
                for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    raw = Path(f"/proc/{child}/cmdline").read_bytes()
                    found[int(child)] = raw.replace(b"\0", b" ").decode(errors="replace").strip()
                    parents.append(int(child))
        return found

    def close(self) -> None:
        """End it: politely, then by force."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            deadline = time.perf_counter() + END_TIMEOUT_S
            while self.process.poll() is None and time.perf_counter() < deadline:
                time.sleep(0.01)
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


@contextlib.contextmanager
def running(
    bot: Path | str, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[OffhookProcess]:
    """Run a bot's file inside the block, on a free port."""
    server = OffhookProcess(bot, *arguments, env=env)
    try:
        yield server.wait_until_ready()
    finally:
        server.close()

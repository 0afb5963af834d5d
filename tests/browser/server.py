"""A real Offhook, as a child process."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

BOTS: Final = Path(__file__).parent / "bots"
EXAMPLES: Final = Path(__file__).parents[2] / "examples"
END_TIMEOUT_S: Final = 15


def eventually(is_so: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until another process has come to it; there is no event to wait for."""
    deadline = time.perf_counter() + timeout_s
    while not is_so():
        assert time.perf_counter() < deadline, "it did not come to that"
        time.sleep(0.02)


class Offhook:
    """A running server."""

    def __init__(self, url: str, process: psutil.Process) -> None:
        self.url = url
        self._process = process
        self._http = httpx.Client(base_url=url, timeout=10)

    def sessions(self, *, ended: int | None = None) -> list[dict[str, Any]]:
        """The live sessions, or the last that ended."""
        query = {} if ended is None else {"ended": ended}
        found: list[dict[str, Any]] = self._http.get("/sessions", params=query).json()["sessions"]
        return found

    def processes(self) -> set[int]:
        return {child.pid for child in self._process.children(recursive=True)}

    def open_files(self) -> int:
        """Descriptors of the supervisor and of the processes directly below it that live on."""
        return self._process.num_fds()

    def wait_until_idle(self) -> None:
        """Wait until no session is left."""
        eventually(lambda: not self.sessions())

    def close(self) -> None:
        self._http.close()


@contextmanager
def running_offhook(bot: Path, log: Path, *flags: str) -> Iterator[Offhook]:
    """Serve a bot on a free port until the block ends; what it says goes into the log."""
    command = [sys.executable, "-m", "offhook", "run", str(bot), "--port", "0", *flags]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
    assert process.stdout is not None
    with process, process.stdout:
        url = process.stdout.readline().decode().strip().removesuffix("/client/")
        assert url, log.read_text()
        server = Offhook(url, psutil.Process(process.pid))
        try:
            yield server
        finally:
            server.close()
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

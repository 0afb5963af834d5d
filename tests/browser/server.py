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
REST_TIMEOUT_S: Final = 15  # a browser's idle connections are closed after 5
PROCESSES_AT_REST: Final = 5  # supervisor, server, template, two warm workers


def eventually(is_so: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until another process has come to it; there is no event to wait for."""
    deadline = time.perf_counter() + timeout_s
    while not is_so():
        assert time.perf_counter() < deadline, "it did not come to that"
        time.sleep(0.02)


class Offhook:
    """A running server."""

    def __init__(self, url: str, supervisor: psutil.Process) -> None:
        self.url = url
        self._supervisor = supervisor

    def sessions(self, *, ended: int | None = None) -> list[dict[str, Any]]:
        """The live sessions, or the last that ended."""
        query = {} if ended is None else {"ended": ended}
        reply = httpx.get(f"{self.url}/sessions", params=query, timeout=10)
        found: list[dict[str, Any]] = reply.json()["sessions"]
        return found

    def wait_until_idle(self) -> None:
        """Wait until no session is left."""
        eventually(lambda: not self.sessions())

    def descriptors_at_rest(self) -> dict[int, int]:
        """Wait until nothing goes on; return how many descriptors each process has then."""
        eventually(self._is_at_rest, REST_TIMEOUT_S)
        return {process.pid: process.num_fds() for process in self._processes()}

    def _is_at_rest(self) -> bool:
        processes = self._processes()
        connections = (each for it in processes for each in it.net_connections("tcp"))
        return (
            not self.sessions()
            and len(processes) == PROCESSES_AT_REST
            and all(each.status != psutil.CONN_ESTABLISHED for each in connections)
        )

    def _processes(self) -> list[psutil.Process]:
        return [self._supervisor, *self._supervisor.children(recursive=True)]


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
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

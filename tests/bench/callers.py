"""The child processes around a measurement: the load's client, and the library's own echo."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent.parent


class ChildFailedError(RuntimeError):
    """A child ended, or said nothing usable."""


class Child:
    """A process of ours that answers each line with a line."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, order: Any) -> Any:
        """Send a line and wait for the answer."""
        self.send(order)
        return self.receive()

    def send(self, order: Any) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def receive(self) -> Any:
        """Wait for a line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailedError(f"exit code {self._process.wait(5)}")
        return json.loads(line)

    def close(self) -> None:
        """Let it end; force it when it does not."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(3)
        self._process.kill()
        self._process.wait()

    @classmethod
    @contextlib.contextmanager
    def running(cls, module: str) -> Iterator[Self]:
        """Run it inside the block."""
        child = cls(module)
        try:
            yield child
        finally:
            child.close()


class Callers:
    """Peers that call and talk, all in one child process."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._count = 0

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        """Run them inside the block."""
        with Child.running("load") as child:
            yield cls(child)

    @property
    def pid(self) -> int:
        """The process they live in."""
        return self._child.pid

    def offer(self) -> tuple[int, str]:
        """Make a caller; return its number and its offer."""
        self._count += 1
        return self._count, self._child.ask({"do": "offer", "peer": self._count})

    def accept(self, number: int, sdp: str) -> None:
        """Take the answer and wait for the connection."""
        self._child.ask({"do": "accept", "peer": number, "sdp": sdp})

    def talk(self, numbers: list[int]) -> None:
        """Have these callers talk from now on."""
        self._child.ask({"do": "talk", "peers": numbers})

    def begin_count(self, seconds: float) -> None:
        """Count from now on, for so long; `end_count` waits for the result."""
        self._child.send({"do": "count", "seconds": seconds})

    def end_count(self) -> dict[int, dict[str, Any]]:
        """Return what was counted, by caller."""
        return {int(number): counted for number, counted in self._child.receive().items()}

    def counted(self, number: int) -> dict[str, Any]:
        """Return what one caller has counted so far."""
        counted: dict[str, Any] = self._child.ask({"do": "counted", "peer": number})
        return counted

    def hang_up(self) -> None:
        """Have all leave."""
        self._child.ask({"do": "close"})

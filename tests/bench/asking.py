"""A client for one server that costs next to nothing: prepared bytes, one kept connection."""

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit


class BadResponseError(RuntimeError):
    """The server answered, but not what a benchmark can use."""


class Exchange:
    """A request on its way: when its first byte was given to the kernel, and what comes back."""

    def __init__(self, sock: socket.socket, request: bytes) -> None:
        self.sock = sock
        self.status = 0
        self.body = b""
        self.answered_ns = 0
        self._received = b""
        self.sent_ns = time.monotonic_ns()
        sock.sendall(request)

    def receive(self) -> bool:
        """Take what has come; say whether that was all."""
        data = self.sock.recv(65536)
        now = time.monotonic_ns()
        if not data:
            raise BadResponseError("the server closed the connection")
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _length(head):
            return False
        self.status, self.body, self.answered_ns = int(head.split(None, 2)[1]), body, now
        return True

    def finish(self) -> "Exchange":
        """Wait for all of it."""
        while not self.receive():
            pass
        return self

    def json(self) -> Any:
        """Read the body.

        Raises:
            BadResponseError: It is no success.
        """
        if self.status != 200:
            raise BadResponseError(f"{self.status}: {self.body[:300].decode(errors='replace')}")
        return json.loads(self.body)


class Client:
    """Asks one server, one request at a time."""

    def __init__(self, url: str, *, timeout_s: float = 20.0) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "localhost", parts.port or 80)
        self._timeout_s = timeout_s
        self._sock: socket.socket | None = None
        self._used_at = 0.0

    def connect(self) -> socket.socket:
        """Return the kept connection, or a new one where the server may be about to close it."""
        if self._sock is not None and time.perf_counter() - self._used_at > 2.0:
            self.close()
        if self._sock is None:
            self._sock = socket.create_connection(self._address, timeout=self._timeout_s)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._used_at = time.perf_counter()
        return self._sock

    def close(self) -> None:
        """Let the connection go."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def prepare(self, method: str, path: str, content: Any = None) -> bytes:
        """Write a request."""
        body = b"" if content is None else json.dumps(content).encode()
        host = f"{self._address[0]}:{self._address[1]}"
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body

    def ask(self, request: bytes) -> Exchange:
        """Send a prepared request and wait for its answer."""
        return Exchange(self.connect(), request).finish()

    def get(self, path: str) -> Any:
        """Get plain data."""
        return self.ask(self.prepare("GET", path)).json()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise BadResponseError("an answer without a length")

"""The wire between our processes: records and file descriptors over `SOCK_SEQPACKET`.

The plain functions serve processes without an event loop; `Channel` is their asynchronous shell.
Sending never waits: a peer that does not read is at fault, and the sender is told.
"""

import contextlib
import os
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

import anyio

from offhook.errors import BadMessageError, WorkerError
from offhook.protocol.control import RECORD_LIMIT_BYTES, AnyMessage, decode, encode

MEMORY_FILE_LIMIT_BYTES = 8 * 1024 * 1024
MAX_FDS = 4
# 0xC1 is the one byte that msgpack never uses: the record is in the last descriptor received.
IN_MEMORY_FILE = b"\xc1"


class ChannelClosedError(WorkerError):
    """The peer has gone."""

    code = "channel_closed"


class ChannelFullError(WorkerError):
    """The peer has stopped reading."""

    code = "channel_full"


class Received(NamedTuple):
    """A message and the descriptors that came with it; the receiver owns them."""

    message: AnyMessage
    fds: tuple[int, ...]


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends of a channel, closed on exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_record(sock: socket.socket, message: AnyMessage, fds: Sequence[int] = ()) -> None:
    """Send one message and lend its descriptors.

    Raises:
        ChannelClosedError: The peer has gone.
        ChannelFullError: The socket does not block and the peer has stopped reading.
    """
    record = encode(message)
    memory_file = -1
    try:
        if len(record) > RECORD_LIMIT_BYTES:
            memory_file = os.memfd_create("offhook-record", os.MFD_CLOEXEC)
            os.pwrite(memory_file, record, 0)
            record, fds = IN_MEMORY_FILE, (*fds, memory_file)
        if fds:
            socket.send_fds(sock, [record], list(fds))
        else:
            sock.send(record)
    except BlockingIOError as error:
        raise ChannelFullError("the peer has stopped reading its channel") from error
    except OSError as error:
        raise ChannelClosedError(f"the peer of a channel has gone: {error}") from error
    finally:
        if memory_file >= 0:
            os.close(memory_file)


def receive_record(sock: socket.socket) -> Received:
    """Receive one message and take over its descriptors, which are closed on exec.

    Raises:
        ChannelClosedError: The peer has gone.
        BadMessageError: The record is none that this release knows.
        BlockingIOError: The socket does not block and nothing has come.
    """
    try:
        record, fds, _flags, _address = socket.recv_fds(sock, RECORD_LIMIT_BYTES, MAX_FDS)
    except BlockingIOError:
        raise
    except OSError as error:
        raise ChannelClosedError(f"the peer of a channel has gone: {error}") from error
    if not record:
        raise ChannelClosedError("the peer of a channel has gone")
    for fd in fds:
        os.set_inheritable(fd, False)  # noqa: FBT003 -- positional only
    try:
        if record == IN_MEMORY_FILE:
            record = _read_memory_file(fds.pop())
        return Received(decode(record), tuple(fds))
    except BadMessageError:
        for fd in fds:
            os.close(fd)
        raise


def _read_memory_file(fd: int) -> bytes:
    try:
        size = os.fstat(fd).st_size
        if size > MEMORY_FILE_LIMIT_BYTES:
            raise BadMessageError("control", f"{size} bytes, limit {MEMORY_FILE_LIMIT_BYTES}")
        return os.pread(fd, size, 0)
    finally:
        os.close(fd)


class Channel:
    """One end of a channel in a process with an event loop."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)  # noqa: FBT003 -- positional only
        self._socket = sock

    def send(self, message: AnyMessage, fds: Sequence[int] = ()) -> None:
        """Send one message at once; raises as `send_record` does."""
        send_record(self._socket, message, fds)

    async def receive(self) -> Received:
        """Wait for the next message; raises as `receive_record` does. Cancelling loses nothing."""
        while True:
            try:
                return receive_record(self._socket)
            except BlockingIOError:
                try:
                    await anyio.wait_readable(self._socket)
                except anyio.ClosedResourceError as error:
                    raise ChannelClosedError("this end of a channel was closed") from error

    def wait(self) -> Received:
        """Wait for the next message in the kernel, and stop the whole thread for it.

        For a process that has nothing else to do: it is awake sooner than an event loop would be.
        Raises as `receive_record` does.
        """
        self._socket.setblocking(True)  # noqa: FBT003 -- positional only
        try:
            return receive_record(self._socket)
        finally:
            self._socket.setblocking(False)  # noqa: FBT003 -- positional only

    def drain(self) -> list[AnyMessage]:
        """Take what has arrived already: the last words of a peer that left."""
        messages = []
        with contextlib.suppress(BlockingIOError, ChannelClosedError, BadMessageError):
            while True:
                message, fds = receive_record(self._socket)
                messages.append(message)
                for fd in fds:
                    os.close(fd)
        return messages

    def close(self) -> None:
        """Let the peer see the end, and whoever waits here. Safe to call twice."""
        if self._socket.fileno() >= 0:
            anyio.notify_closing(self._socket)
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

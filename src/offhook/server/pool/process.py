"""One worker's process as the server sees it: its channel, its output, its end."""

import contextlib
import logging
import os
import signal
from collections import deque
from dataclasses import dataclass
from typing import Final

import anyio

from offhook.channel import Channel, ChannelClosedError
from offhook.errors import BadMessageError
from offhook.ids import WorkerId
from offhook.protocol.control import AnyMessage

log = logging.getLogger(__name__)

LOG_LIMIT_BYTES: Final = 64 * 1024
READ_BYTES: Final = 16 * 1024
LINES_PER_SECOND: Final = 200
OUTPUT_AFTER_EXIT_S: Final = 0.5
OUTPUT_PAUSE_S: Final = 0.01


@dataclass(frozen=True)
class WorkerExit:
    """How a process ended: by itself with a code, or by a signal."""

    exit_code: int | None = None
    signal: int | None = None

    @classmethod
    def from_status(cls, status: int) -> "WorkerExit":
        """Read what `waitpid` gave."""
        if os.WIFSIGNALED(status):
            return cls(signal=os.WTERMSIG(status))
        return cls(exit_code=os.WEXITSTATUS(status))

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit code {self.exit_code}"
        try:
            return f"signal {signal.Signals(self.signal).name}"
        except ValueError:
            return f"signal {self.signal}"


class WorkerProcess:
    """A worker from fork to reaping. Killing one that has already gone does nothing."""

    def __init__(self, worker_id: WorkerId, channel: Channel, output_fd: int) -> None:
        self.worker_id = worker_id
        self.pid = 0
        self.session_id: str | None = None
        self._channel = channel
        self._left: deque[AnyMessage] = deque()
        self._output_fd = output_fd
        self._output = _Tail(LOG_LIMIT_BYTES)
        self._pidfd = -1
        self._exit: WorkerExit | None = None
        self._was_reaped = anyio.Event()
        self._has_exited = anyio.Event()
        self._kill_signal: int | None = None

    def was_forked(self, pid: int) -> None:
        """Learn the pid, once."""
        self.pid = pid
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)
        if self._kill_signal is not None:
            self.kill(signal_number=self._kill_signal)

    def was_reaped(self, end: WorkerExit) -> None:
        """Learn how the process ended, once."""
        self._exit = self._exit or end
        self._was_reaped.set()

    def send(self, message: AnyMessage) -> None:
        """Send to the worker at once; raises as `Channel.send` does."""
        self._channel.send(message)

    async def receive(self) -> AnyMessage:
        """Wait for the worker's next message.

        Raises:
            anyio.EndOfStream: The worker has closed its channel, or gone.
        """
        while not self._left:
            try:
                received = await self._channel.receive()
            except ChannelClosedError:
                if self._left:
                    break
                raise anyio.EndOfStream from None
            except BadMessageError as error:
                log.warning("unknown message ignored", extra={"problem": error.problem})
                continue
            for fd in received.fds:
                os.close(fd)
            return received.message
        return self._left.popleft()

    async def exited(self) -> WorkerExit:
        """Wait until the process has been reaped and what it printed has been read."""
        await self._has_exited.wait()
        assert self._exit is not None  # noqa: S101 -- set before the event
        return self._exit

    def log_tail(self) -> str:
        """Return the last 64 KiB that the process printed."""
        return self._output.text()

    def dump_stacks(self) -> None:
        """Have the process print the stacks of all its threads."""
        self._signal(signal.SIGUSR1)

    def kill(self, *, signal_number: int = signal.SIGKILL) -> None:
        """End the process by force."""
        self._kill_signal = signal_number
        if self._pidfd < 0:
            self._channel.close()  # not forked yet, or no process of its own: it sees the end
        self._signal(signal_number)

    def _signal(self, number: int) -> None:
        if self._pidfd >= 0 and self._exit is None:
            with contextlib.suppress(ProcessLookupError):
                # By the descriptor, not the pid: a reaped pid may by now belong to a stranger.
                signal.pidfd_send_signal(self._pidfd, number)

    async def supervise(self) -> WorkerExit:
        """Pass the output on until the process is reaped; then free what it held here."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read_output)
                await self._was_reaped.wait()
                # What it left behind may hold the pipe open; its own last words are in it already.
                group.cancel_scope.deadline = anyio.current_time() + OUTPUT_AFTER_EXIT_S
            self._left.extend(self._channel.drain())
            self._has_exited.set()
            return await self.exited()
        finally:
            self._channel.close()
            os.close(self._output_fd)
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1

    async def _read_output(self) -> None:
        os.set_blocking(self._output_fd, False)
        printer = _Printer()
        while True:
            try:
                data = os.read(self._output_fd, READ_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(self._output_fd)
                continue
            if not data:
                return
            self._output.add(data)
            printer.print(data, name=self.session_id or self.worker_id, now=anyio.current_time())
            # One that prints without end has to wait for its full pipe; it costs nobody else time.
            await anyio.sleep(OUTPUT_PAUSE_S if len(data) == READ_BYTES else 0)


class _Tail:
    """The last bytes of a stream."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        while self._size - len(self._pieces[0]) >= self._limit:
            self._size -= len(self._pieces.popleft())

    def text(self) -> str:
        return b"".join(self._pieces)[-self._limit :].decode(errors="replace")


class _Printer:
    """Logs whole lines, and no more of them in a second than a person could want."""

    def __init__(self) -> None:
        self._rest = b""
        self._second = 0
        self._lines = 0

    def print(self, data: bytes, *, name: str, now: float) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-READ_BYTES:]
        if int(now) != self._second:
            if self._lines > LINES_PER_SECOND:
                dropped = self._lines - LINES_PER_SECOND
                log.warning("output dropped", extra={"session": name, "lines": dropped})
            self._second, self._lines = int(now), 0
        for line in lines:
            self._lines += 1
            if self._lines <= LINES_PER_SECOND:
                log.info(
                    "bot printed", extra={"session": name, "line": line.decode(errors="replace")}
                )

"""The process that holds the rest together. It runs no bot, no server and no event loop.

It binds the sockets, starts server and template, is the parent of all workers, tells the server
who has ended, and passes signals on. When it dies, everything dies with it.
"""

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from offhook.channel import (
    ChannelClosedError,
    ChannelFullError,
    receive_record,
    send_record,
    socket_pair,
)
from offhook.errors import BadMessageError, WorkerError
from offhook.kernel import become_subreaper
from offhook.protocol.control import (
    AnyMessage,
    BootServer,
    BootTemplate,
    ChildExited,
    ExitCode,
    ServerReady,
    StopServer,
    TemplateExited,
    TemplateStarted,
)
from offhook.server.config import Config
from offhook.supervisor import children

START_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 2.0
STOP_MARGIN_S: Final = 2.0
RESTARTS: Final = 3
RESTARTS_WITHIN_S: Final = 60.0


class Supervisor:
    """Starts everything, waits for the end, leaves nothing behind."""

    def __init__(
        self,
        config: Config,
        bot: Path,
        sockets: list[socket.socket],
        *,
        on_ready: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._config, self._bot, self._sockets = config, bot, sockets
        self._on_ready, self._say = on_ready, say
        self._selector = selectors.DefaultSelector()
        self._server_pid = self._template_pid = 0
        self._channel: socket.socket | None = None
        self._generation = 0
        self._restarts: deque[float] = deque(maxlen=RESTARTS)
        self._is_ready = False
        self._is_stopping = False
        self._deadline = 0.0
        self._exit_code: int | None = None

    def run(self) -> int:
        """Run until told to stop, or until it makes no sense to go on; return the exit code."""
        become_subreaper()
        wake_up, restore = _take_signals()
        self._selector.register(wake_up, selectors.EVENT_READ, lambda: self._signalled(wake_up))
        try:
            self._start_server()
            self._start_template()
            self._deadline = time.perf_counter() + START_TIMEOUT_S
            while self._exit_code is None:
                self._turn()
            return self._exit_code
        finally:
            self._end_children()
            restore()

    def _turn(self) -> None:
        timeout = None
        if self._deadline:
            timeout = self._deadline - time.perf_counter()
            if timeout <= 0:
                self._is_overdue()
                return
        for key, _ in self._selector.select(timeout):
            key.data()

    def _is_overdue(self) -> None:
        if self._is_stopping:
            self._say("The server did not end in time; ending everything by force.")
            self._exit_code = ExitCode.OK
        else:
            self._say(f"Nothing was ready within {START_TIMEOUT_S:g} s; giving up.")
            self._exit_code = ExitCode.COULD_NOT_START

    # Starting

    def _start_server(self) -> None:
        ours, theirs = socket_pair()
        os.set_inheritable(theirs.fileno(), True)  # noqa: FBT003 -- positional only
        send_record(
            ours, BootServer(config=self._config.encode()), [s.fileno() for s in self._sockets]
        )
        self._server_pid = children.start(
            "offhook.server", str(theirs.fileno()), str(os.getpid()), fds=(theirs.fileno(),)
        )
        theirs.close()
        ours.setblocking(False)  # noqa: FBT003 -- positional only
        self._channel = ours
        self._selector.register(ours, selectors.EVENT_READ, self._server_spoke)

    def _start_template(self) -> None:
        self._generation += 1
        for_server, for_template = socket_pair()
        boot = BootTemplate(
            bot=str(self._bot),
            generation=self._generation,
            start_method=self._config.start_method,
            supervisor_pid=os.getpid(),
            settings=self._config.session_settings(),
        )
        send_record(for_server, boot)
        self._template_pid = children.start(
            "offhook.worker", "template", str(for_template.fileno()), fds=(for_template.fileno(),)
        )
        for_template.close()
        self._tell_server(TemplateStarted(generation=self._generation), for_server.fileno())
        for_server.close()

    # What happens

    def _server_spoke(self) -> None:
        assert self._channel is not None  # noqa: S101 -- registered together
        try:
            message, fds = receive_record(self._channel)
        except BlockingIOError:
            return
        except (ChannelClosedError, BadMessageError):
            self._selector.unregister(self._channel)  # its exit status says the rest
            return
        for fd in fds:
            os.close(fd)
        if isinstance(message, ServerReady):
            self._is_ready, self._deadline = True, 0.0
            self._on_ready(message.url)

    def _signalled(self, wake_up: socket.socket) -> None:
        for number in wake_up.recv(64):
            if number == signal.SIGCHLD:
                self._reap()
            elif self._is_stopping:
                self._say("Ending now.")
                self._exit_code = ExitCode.OK
            else:
                self._stop(self._config.close_timeout_s)

    def _stop(self, grace_s: float) -> None:
        self._is_stopping = True
        self._deadline = time.perf_counter() + grace_s + STOP_MARGIN_S
        self._tell_server(StopServer(grace_s=grace_s))

    def _reap(self) -> None:
        for pid, status in children.reap():
            if pid == self._server_pid:
                self._server_exited(status)
            elif pid == self._template_pid:
                self._template_exited(status)
            else:
                self._tell_server(ChildExited(pid=pid, status=status))

    def _server_exited(self, status: int) -> None:
        if self._is_stopping:
            self._exit_code = self._exit_code or ExitCode.OK
            return
        self._say(f"The server has gone ({children.explain(status)}); its sessions end with it.")
        self._exit_code = ExitCode.ERROR if self._is_ready else ExitCode.COULD_NOT_START

    def _template_exited(self, status: int) -> None:
        self._template_pid = 0
        self._tell_server(TemplateExited(generation=self._generation, status=status))
        if self._is_stopping:
            return
        if not self._is_ready:
            self._exit_code = ExitCode.COULD_NOT_START
            if not os.WIFEXITED(status):  # else it has said itself what is wrong
                self._say(f"The bot's file could not be loaded ({children.explain(status)}).")
            return
        now = time.perf_counter()
        if len(self._restarts) == RESTARTS and now - self._restarts[0] < RESTARTS_WITHIN_S:
            self._say(f"The template keeps ending ({children.explain(status)}); giving up.")
            self._exit_code = ExitCode.COULD_NOT_START
            return
        self._restarts.append(now)
        self._say(f"The template has gone ({children.explain(status)}); starting another.")
        self._start_template()

    def _tell_server(self, message: AnyMessage, *fds: int) -> None:
        assert self._channel is not None  # noqa: S101 -- the server is started first
        try:
            send_record(self._channel, message, fds)
        except ChannelClosedError:
            return  # its exit status is on the way
        except (ChannelFullError, WorkerError):
            children.kill(self._server_pid)  # it does not read; it cannot answer anybody either

    # Ending

    def _end_children(self) -> None:
        """Kill and reap whatever is left, for a bounded time."""
        deadline = time.perf_counter() + END_TIMEOUT_S
        while time.perf_counter() < deadline:
            for pid in (left := children.children()):
                children.kill(pid)
                children.kill_group(pid)
            for _ in children.reap():
                pass
            if not left:
                return
            time.sleep(0.005)


def _take_signals() -> tuple[socket.socket, Callable[[], None]]:
    """Turn signals into bytes on a socket; return it, and what puts everything back as found."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)  # noqa: FBT003 -- positional only
    writing.setblocking(False)  # noqa: FBT003 -- positional only
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
    found = {number: signal.signal(number, lambda *_: None) for number in numbers}
    found_fd = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    def restore() -> None:
        signal.set_wakeup_fd(found_fd)
        for number, handler in found.items():
            signal.signal(number, handler)
        reading.close()
        writing.close()

    return reading, restore

"""The server process: its sockets and its workers come from the supervisor."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import anyio
import uvicorn
from anyio.abc import TaskGroup
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from offhook.channel import Channel, ChannelClosedError, receive_record
from offhook.clock import Clock, SystemClock
from offhook.errors import BadMessageError
from offhook.kernel import die_with_parent
from offhook.protocol.control import (
    BootServer,
    ChildExited,
    ExitCode,
    ServerReady,
    StopServer,
    TemplateExited,
    TemplateStarted,
)
from offhook.protocol.endings import EndReason
from offhook.server.app import create_app
from offhook.server.config import Config
from offhook.server.dispatch import Dispatcher
from offhook.server.observe import set_up_logging
from offhook.server.pool.pool import Pool
from offhook.server.pool.process import WorkerExit
from offhook.server.pool.template import Template

log = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 5
GRACEFUL_S: Final = 2


def main(arguments: list[str]) -> int:
    """Serve as the supervisor's first record says; the process's exit code."""
    channel_fd, supervisor_pid = (int(each) for each in arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(supervisor_pid)
    sock = socket.socket(fileno=channel_fd)
    boot, fds = receive_record(sock)
    assert isinstance(boot, BootServer)  # noqa: S101 -- our supervisor, the same release
    config = Config.decode(boot.config)
    set_up_logging(config)
    sockets = [socket.socket(fileno=fd) for fd in fds]
    anyio.run(serve_supervised, config, sockets, sock, backend_options={"use_uvloop": True})
    return ExitCode.OK


async def serve_supervised(
    config: Config, sockets: list[socket.socket], sock: socket.socket
) -> None:
    """Serve until the supervisor says stop, or goes."""
    channel, clock, template = Channel(sock), SystemClock(), Template()
    pool = Pool(clock=clock, source=template, warm=config.warm)
    serving = Serving(config, pool=pool, clock=clock)
    gc.collect()
    gc.freeze()  # what was imported stays; no collection has to look at it in the middle of a start
    async with anyio.create_task_group() as group:
        # It listens longest: the ends of the last workers are reported to it.
        group.start_soon(listen_to_supervisor, channel, pool, template, serving, group)
        async with serving.running(sockets), anyio.create_task_group() as announcing:
            announcing.start_soon(announce, channel, pool, url_of(config, sockets[0]))
            await serving.ended.wait()
            announcing.cancel_scope.cancel()
        group.cancel_scope.cancel()


async def announce(channel: Channel, pool: Pool, url: str) -> None:
    """Say that the door is open as soon as somebody could be let in."""
    await pool.first_ready()
    channel.send(ServerReady(url=url))


async def listen_to_supervisor(
    channel: Channel, pool: Pool, template: Template, serving: "Serving", group: TaskGroup
) -> None:
    """Pass on what the supervisor tells."""
    while True:
        try:
            message, fds = await channel.receive()
        except ChannelClosedError:
            await serving.stop(grace_s=0.0)
            return
        except BadMessageError as error:
            log.warning("unknown message ignored", extra={"problem": error.problem})
            continue
        match message:
            case TemplateStarted():
                theirs = Channel(socket.socket(fileno=fds[0]))
                group.start_soon(template.listen, theirs, pool.template_reported)
            case TemplateExited():
                pool.template_exited()
            case ChildExited(pid=pid, status=status):
                pool.child_exited(pid, WorkerExit.from_status(status))
            case StopServer(grace_s=grace_s):
                group.start_soon(serving.stop, grace_s)
            case _:
                log.warning("message out of place ignored", extra={"type": type(message).__name__})


class Serving:
    """The HTTP server of this process, and how to end it."""

    def __init__(self, config: Config, *, pool: Pool, clock: Clock) -> None:
        app = create_app(config, clock=clock, pool=pool)
        self._pool = pool
        self._dispatcher: Dispatcher = app.state.dispatcher
        self._uvicorn = _QuietServer(
            uvicorn.Config(
                app,
                http=_Connection,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACEFUL_S,
            )
        )
        self.ended = anyio.Event()

    @contextlib.asynccontextmanager
    async def running(self, sockets: list[socket.socket]) -> AsyncIterator[None]:
        """Answer HTTP on the sockets inside the block."""
        async with self._pool.running(), anyio.create_task_group() as group:
            group.start_soon(self._serve, sockets)
            try:
                yield
            finally:
                self._uvicorn.should_exit = True

    async def stop(self, grace_s: float) -> None:
        """Admit nobody, end the live sessions politely, then stop listening."""
        await self._dispatcher.aclose(reason=EndReason.DRAINED, grace_s=grace_s)
        self._uvicorn.should_exit = True

    async def _serve(self, sockets: list[socket.socket]) -> None:
        await self._uvicorn.serve(sockets=sockets)
        self.ended.set()


class _Connection(HttpToolsProtocol):
    """Has to send its first request within the time that it may rest between two."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        # Browsers open spare connections; without this, one that stays unused stays for ever.
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are the supervisor's, who tells us by `StopServer`


def url_of(config: Config, sock: socket.socket) -> str:
    """Say how a browser on this machine reaches the socket."""
    host = config.host
    if host in {"0.0.0.0", "::"}:  # noqa: S104 -- comparing, not binding
        host = "localhost"
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{sock.getsockname()[1]}"

"""`--isolation none`: server and bots in one process, so that a debugger sees them all."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from offhook.channel import Channel
from offhook.clock import SystemClock
from offhook.ids import WorkerId
from offhook.protocol.control import ExitCode, SessionSettings, TemplateReady
from offhook.server.config import Config
from offhook.server.main import Serving, url_of
from offhook.server.observe import set_up_logging
from offhook.server.pool.pool import Pool
from offhook.server.pool.process import WorkerExit
from offhook.transports.webrtc.udp import new_event_loop
from offhook.worker.load import bot_of, load_bot, prewarm_all
from offhook.worker.main import serve
from offhook.worker.template import print_bot_traceback


class InProcess:
    """Makes workers that are tasks here."""

    def __init__(self, bot: Path, settings: SessionSettings) -> None:
        module = load_bot(bot)
        prewarm_all(module)
        self._bot, self._settings = bot_of(module), settings
        self.group: TaskGroup | None = None
        self.pool: Pool | None = None

    def fork(
        self, worker_id: WorkerId, *, rehearse: bool, channel: socket.socket, output_fd: int
    ) -> None:
        """Start a worker's coroutine; it prints where everybody prints."""
        del rehearse, output_fd
        assert self.group is not None  # noqa: S101 -- set before the pool runs
        self.group.start_soon(self._work, worker_id, Channel(channel.dup()))

    async def _work(self, worker_id: WorkerId, channel: Channel) -> None:
        assert self.pool is not None  # noqa: S101 -- as above
        with channel:
            code = await serve(channel, self._bot, self._settings, False)  # noqa: FBT003 -- as anyio.run calls it
        self.pool.worker_ended(worker_id, WorkerExit(exit_code=code))


def serve_in_process(
    bot: Path, config: Config, sockets: list[socket.socket], *, on_ready: Callable[[str], None]
) -> int:
    """Serve until Ctrl-C; return the exit code."""
    set_up_logging(config)
    try:
        source = InProcess(bot, config.session_settings())
    except Exception:  # noqa: BLE001 -- the author's file may raise anything
        print_bot_traceback()
        return ExitCode.COULD_NOT_START
    anyio.run(
        _serve,
        config,
        sockets,
        source,
        on_ready,
        backend_options={"loop_factory": new_event_loop},
    )
    return ExitCode.OK


async def _serve(
    config: Config,
    sockets: list[socket.socket],
    source: InProcess,
    on_ready: Callable[[str], None],
) -> None:
    clock = SystemClock()
    pool = source.pool = Pool(clock=clock, source=source, warm=1)
    serving = Serving(config, pool=pool, clock=clock)
    async with anyio.create_task_group() as source.group:
        async with serving.running(sockets):
            pool.template_reported(_ready_template())
            await pool.first_ready()
            on_ready(url_of(config, sockets[0]))
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                await anext(signals)
            with anyio.move_on_after(config.close_timeout_s + 1):
                await serving.stop(config.close_timeout_s)
        source.group.cancel_scope.cancel()  # the pool had to see its workers end


def _ready_template() -> TemplateReady:
    pid = os.getpid()
    return TemplateReady(
        generation=1, pid=pid, python="", threads=1, rss_bytes=0, preload_ms=0, bot=""
    )

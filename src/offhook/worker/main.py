"""A worker: boots, rehearses, waits; runs the bot for one session; leaves."""

import faulthandler
import logging
import os
import signal
import socket
import sys
import time
from functools import partial
from types import ModuleType
from typing import Final, NoReturn

import anyio

from offhook.channel import Channel, ChannelClosedError
from offhook.clock import SystemClock
from offhook.kernel import die_with_parent, limit_worker
from offhook.protocol.control import BootTemplate, ExitCode, SessionSettings, StartBot, WorkerReady
from offhook.transports.webrtc.udp import new_event_loop
from offhook.worker.load import Bot, bot_of
from offhook.worker.rehearsal import rehearse as rehearse_now
from offhook.worker.session import WorkerSession

log = logging.getLogger(__name__)

REHEARSAL_TIMEOUT_S: Final = 3.0


def run_worker(boot: BootTemplate, module: ModuleType, *, channel: int, rehearse: bool) -> NoReturn:
    """Be a worker on this channel from here to the end of the process."""
    settle(boot)
    try:
        code = anyio.run(
            partial(serve, is_alone=True),
            Channel(socket.socket(fileno=channel)),
            bot_of(module),
            boot.settings,
            rehearse,
            backend_options={"loop_factory": new_event_loop},
        )
    except BaseException:
        log.exception("worker failed")
        code = ExitCode.ERROR
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Finalising the interpreter would take 50 times as long and copy what is shared.
    os._exit(code)


def settle(boot: BootTemplate) -> None:
    """Undo what a fork inherits and a worker must not have; arm what reports a crash."""
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    die_with_parent(boot.supervisor_pid)
    limit_worker()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    if "numpy.random" in sys.modules:  # else it would be imported here, 3 MiB for nothing
        sys.modules["numpy.random"].seed()  # the one generator that would be the same in all
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # both are text files
    for chatty in ("aioice", "aiortc"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


async def serve(
    channel: Channel,
    bot: Bot,
    settings: SessionSettings,
    rehearse: bool,  # noqa: FBT001 -- anyio.run passes by position
    *,
    is_alone: bool = False,
) -> int:
    """Rehearse, report, wait for the one session, run it; return the exit code."""
    begun = time.perf_counter()
    if rehearse:
        with anyio.fail_after(REHEARSAL_TIMEOUT_S):  # one that stumbles is not to get a session
            await rehearse_now()
    session = WorkerSession(channel, bot, settings, clock=SystemClock())
    rehearsed_ms = round((time.perf_counter() - begun) * 1000, 1)
    try:
        channel.send(WorkerReady(pid=os.getpid(), rehearsed_ms=rehearsed_ms))
        # In a process of its own, nothing else runs before the order comes.
        message = (channel.wait() if is_alone else await channel.receive()).message
    except ChannelClosedError:
        return ExitCode.OK  # not needed after all
    if not isinstance(message, StartBot):
        log.error("first message is no StartBot", extra={"type": type(message).__name__})
        return ExitCode.ERROR
    ended = await session.run(message)
    return ExitCode.OK if ended.is_orderly else ExitCode.ERROR

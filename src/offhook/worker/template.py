"""The template: has imported the bot and the media libraries, and forks workers that have them too.

It runs one thread and no event loop, since a fork copies one thread only. It is a fresh
interpreter, so it holds no listening socket and no secret of the server.
"""

import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from offhook.channel import ChannelClosedError, receive_record, send_record
from offhook.errors import BadMessageError, UsageError
from offhook.kernel import die_with_parent
from offhook.protocol.control import (
    BootTemplate,
    ExitCode,
    ForkFailed,
    ForkWorker,
    TemplateReady,
    WorkerForked,
)
from offhook.worker.load import ThreadWatch, load_bot, prewarm_all

SHARED: Final = (
    "offhook.worker.main",
    "offhook.transports.webrtc.connection",
    "offhook.transports.webrtc.rehearse",
    "anyio._backends._asyncio",  # else each worker imports it for itself: 40 ms and 10 MiB
)
"""What every worker needs, imported once."""


class ThreadsError(UsageError):
    """A library started a thread while it was imported, so that a fork would break it."""

    code = "template_has_threads"
    hint = "Import it inside bot(), stop its threads, or run with --start-method spawn."


def run_template(sock: socket.socket) -> NoReturn:
    """Boot as the first record says, then fork until the server closes the channel."""
    boot = receive_record(sock).message
    assert isinstance(boot, BootTemplate)  # noqa: S101 -- our supervisor, the same release
    die_with_parent(boot.supervisor_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started = time.perf_counter()
    if boot.start_method == "spawn":
        check_in_a_child(boot)
    else:
        try_to_preload(boot)
    # Where something imported ignores it, there would be no child to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    send_record(sock, _report(boot, preload_ms=(time.perf_counter() - started) * 1000))
    serve(sock, boot)


def try_to_preload(boot: BootTemplate) -> None:
    """Preload, or say what is wrong and end the process."""
    try:
        preload(boot)
    except UsageError as error:
        print(f"error: {error.detail}\n  {error.hint}", file=sys.stderr)  # noqa: T201 -- the operator's terminal
        sys.exit(ExitCode.COULD_NOT_START)
    except BaseException:  # noqa: BLE001 -- whatever the author's file raises, they want to see it
        print_bot_traceback()
        sys.exit(ExitCode.COULD_NOT_START)


def preload(boot: BootTemplate) -> None:
    """Import what every worker needs, and make sure that a fork is safe.

    Raises:
        ThreadsError: More than one thread is running.
        Exception: Whatever the bot's file raises.
    """
    watch = ThreadWatch(count_threads)
    sys.meta_path.insert(0, watch)
    try:
        for name in SHARED:
            importlib.import_module(name)
        bot = load_bot(Path(boot.bot))
        prewarm_all(bot)
    finally:
        sys.meta_path.remove(watch)
    threads = count_threads()
    if threads > 1:
        culprits = ", ".join(watch.culprits) or f"code called by {boot.bot}, or its prewarm(),"
        raise ThreadsError(f"{culprits} started {threads - 1} thread(s) while being imported")
    gc.collect()
    # Otherwise the first collection in each worker writes to, and so copies, all these objects.
    gc.freeze()


def check_in_a_child(boot: BootTemplate) -> None:
    """Import the bot in an interpreter of its own, so that a mistake in it shows at launch."""
    check = subprocess.run(worker_command("check", boot), check=False)  # noqa: S603 -- ourselves
    if check.returncode != 0:
        sys.exit(ExitCode.COULD_NOT_START)


def serve(sock: socket.socket, boot: BootTemplate) -> NoReturn:
    """Fork on demand."""
    while True:
        try:
            message, fds = receive_record(sock)
        except ChannelClosedError:
            os._exit(ExitCode.OK)
        except BadMessageError:
            continue  # of a newer release
        if isinstance(message, ForkWorker) and len(fds) == 2:  # noqa: PLR2004 -- channel and output
            try:
                fork_worker(sock, boot, message, channel=fds[0], output=fds[1])
            except OSError as error:
                failed = ForkFailed(worker_id=message.worker_id, problem=str(error))
                send_record(sock, failed)
        for fd in fds:
            os.close(fd)


def fork_worker(
    sock: socket.socket, boot: BootTemplate, order: ForkWorker, *, channel: int, output: int
) -> None:
    """Fork twice, so that the supervisor inherits the worker and a template's crash harms none."""
    sys.stdout.flush()
    sys.stderr.flush()
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return
    try:
        pid = os.fork()
        if pid:
            send_record(sock, WorkerForked(worker_id=order.worker_id, pid=pid))
            os._exit(ExitCode.OK)
        sock.close()
        become_worker(boot, rehearse=order.rehearse, channel=channel, output=output)
    except OSError as error:
        send_record(sock, ForkFailed(worker_id=order.worker_id, problem=str(error)))
    finally:
        os._exit(ExitCode.ERROR)


def become_worker(boot: BootTemplate, *, rehearse: bool, channel: int, output: int) -> NoReturn:
    """Leave the template behind: own process group, own output; then be a worker."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)
    if boot.start_method == "spawn":
        os.set_inheritable(channel, True)  # noqa: FBT003 -- positional only
        command = worker_command("spawned", boot, str(channel), str(int(rehearse)))
        os.execv(command[0], command)  # noqa: S606 -- ourselves
    from offhook.worker.main import run_worker  # noqa: PLC0415 -- a spawning template needs no media

    run_worker(boot, sys.modules["bot"], channel=channel, rehearse=rehearse)


def worker_command(role: str, boot: BootTemplate, *arguments: str) -> list[str]:
    """Say how a fresh interpreter takes a role of this package."""
    boot_text = msgspec.json.encode(boot).decode()
    return [sys.executable, "-m", "offhook.worker", role, boot_text, *arguments]


def print_bot_traceback() -> None:
    """Print the exception being handled, without our own frames above the bot's."""
    _, error, trace = sys.exc_info()
    package = str(Path(__file__).parent.parent)
    while trace and trace.tb_next and _is_ours(trace.tb_frame.f_code.co_filename, package):
        trace = trace.tb_next
    if error is not None:
        traceback.print_exception(type(error), error, trace)


def _is_ours(file_name: str, package: str) -> bool:
    return file_name.startswith((package, "<frozen importlib"))


def count_threads() -> int:
    """Count the threads of this process, also those that Python does not know of."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 -- only the number matters


def _report(boot: BootTemplate, *, preload_ms: float) -> TemplateReady:
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return TemplateReady(
        generation=boot.generation,
        pid=os.getpid(),
        python=sys.version.split()[0],
        threads=count_threads(),
        rss_bytes=resident_pages * os.sysconf("SC_PAGE_SIZE"),
        preload_ms=round(preload_ms, 1),
        bot=boot.bot,
    )

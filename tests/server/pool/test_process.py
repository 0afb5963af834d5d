"""A worker's process as the server sees it: real pipes, real signals, no worker of ours."""

import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import DEVNULL

import anyio
import anyio.abc
import pytest
from tests.server.pool.fakes import NO_PID, settle, until

from offhook.channel import Channel, socket_pair
from offhook.ids import WorkerId
from offhook.protocol.control import Heartbeat, SessionEnded, StopServer
from offhook.server.pool.process import (
    LINES_PER_SECOND,
    LOG_LIMIT_BYTES,
    WorkerExit,
    WorkerProcess,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux only")


class Other:
    """The process's ends, in the hands of the test."""

    def __init__(self) -> None:
        ours, theirs = socket_pair()
        reading, self.output_fd = os.pipe()
        self.channel = Channel(theirs)
        self.process = WorkerProcess(WorkerId("w1"), Channel(ours), reading)

    def print(self, data: bytes) -> None:
        os.write(self.output_fd, data)

    def close(self) -> None:
        self.channel.close()
        if self.output_fd >= 0:
            os.close(self.output_fd)
            self.output_fd = -1

    async def reap(self, end: WorkerExit | None = None) -> WorkerExit:
        """Let it be gone, and wait until the server has noticed."""
        self.close()
        self.process.was_reaped(end or WorkerExit(exit_code=0))
        with anyio.fail_after(10):
            return await self.process.exited()


@asynccontextmanager
async def supervised() -> AsyncIterator[Other]:
    other = Other()
    async with anyio.create_task_group() as group:
        group.start_soon(other.process.supervise)
        try:
            yield other
        finally:
            other.close()
            other.process.was_reaped(WorkerExit(exit_code=0))


@asynccontextmanager
async def running(*command: str, stdout: int = DEVNULL) -> AsyncIterator[anyio.abc.Process]:
    """A process that ends with the block, at the latest."""
    process = await anyio.open_process(command, stdin=DEVNULL, stdout=stdout, stderr=DEVNULL)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        with anyio.fail_after(10, shield=True):
            await process.wait()


@pytest.mark.parametrize(
    ("status", "end", "words"),
    [
        (0, WorkerExit(exit_code=0), "exit code 0"),
        (3 << 8, WorkerExit(exit_code=3), "exit code 3"),
        (11, WorkerExit(signal=11), "signal SIGSEGV"),
        (0x80 | 6, WorkerExit(signal=6), "signal SIGABRT"),
        (63, WorkerExit(signal=63), "signal 63"),
    ],
)
def test_how_it_ended_is_read_from_its_status_and_said_in_words(
    status: int, end: WorkerExit, words: str
) -> None:
    assert WorkerExit.from_status(status) == end
    assert str(end) == words


# Messages


async def test_messages_go_both_ways() -> None:
    async with supervised() as other:
        other.process.send(StopServer(grace_s=1))
        assert (await other.channel.receive()).message == StopServer(grace_s=1)
        other.channel.send(Heartbeat(lag_ms=1))
        assert await other.process.receive() == Heartbeat(lag_ms=1)


async def test_a_closed_channel_is_the_end_of_the_stream() -> None:
    async with supervised() as other:
        other.channel.close()
        with pytest.raises(anyio.EndOfStream):
            await other.process.receive()


async def test_last_words_are_heard_after_the_process_has_gone() -> None:
    async with supervised() as other:
        for lag_ms in (1.0, 2.0):
            other.channel.send(Heartbeat(lag_ms=lag_ms))
        other.channel.send(SessionEnded(reason="bot_finished"))
        await other.reap()
        heard = [await other.process.receive() for _ in range(3)]
        assert heard[-1] == SessionEnded(reason="bot_finished")
        with pytest.raises(anyio.EndOfStream):
            await other.process.receive()


async def test_who_waits_for_a_message_hears_the_last_words_although_the_channel_stays_open() -> (
    None
):
    heard: list[object] = []

    async with supervised() as other:
        # A child of the bot may hold the worker's end open for as long as it likes.
        keeper = os.dup(other.output_fd)

        async def listen() -> None:
            heard.append(await other.process.receive())
            with pytest.raises(anyio.EndOfStream):
                await other.process.receive()
            heard.append("end")

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await settle()
            other.channel.send(SessionEnded(reason="bot_finished"))
            other.process.was_reaped(WorkerExit(exit_code=0))
        os.close(keeper)
    assert heard == [SessionEnded(reason="bot_finished"), "end"]


async def test_a_record_of_a_newer_release_is_passed_over() -> None:
    ours, theirs = socket_pair()
    reading, writing = os.pipe()
    process = WorkerProcess(WorkerId("w1"), Channel(ours), reading)
    async with anyio.create_task_group() as group:
        group.start_soon(process.supervise)
        theirs.send(b"\x81\xa1t\xabfrom_future")
        with Channel(theirs) as channel:
            channel.send(Heartbeat(lag_ms=2))
            assert await process.receive() == Heartbeat(lag_ms=2)
        os.close(writing)
        process.was_reaped(WorkerExit(exit_code=0))


async def test_descriptors_that_a_worker_sends_are_not_kept() -> None:
    async with supervised() as other:
        other.channel.send(Heartbeat(lag_ms=1), [other.output_fd])
        await other.process.receive()
        # Who looks for what a test leaves open would find it.


# Output


async def test_what_it_printed_is_complete_when_it_has_exited() -> None:
    async with supervised() as other:
        other.print(b"first\n")
        await until(lambda: other.process.log_tail() == "first\n")
        other.print(b"Traceback: the last\xff words")
        await other.reap()
    assert other.process.log_tail() == "first\nTraceback: the last\N{REPLACEMENT CHARACTER} words"


async def test_only_the_last_of_a_long_output_is_kept() -> None:
    async with supervised() as other:
        line = b"0123456789abcdef" * 64
        for _ in range(3 * LOG_LIMIT_BYTES // len(line)):
            await anyio.to_thread.run_sync(other.print, line)
        other.print(b"the end")
        await other.reap()
        assert len(other.process.log_tail()) == LOG_LIMIT_BYTES
        assert other.process.log_tail().endswith("the end")


async def test_a_child_that_holds_the_output_open_does_not_delay_the_end() -> None:
    async with supervised() as other:
        keeper = os.dup(other.output_fd)
        other.print(b"before the end")
        other.process.was_reaped(WorkerExit(signal=9))
        with anyio.fail_after(10):
            assert await other.process.exited() == WorkerExit(signal=9)
        os.close(keeper)
    assert other.process.log_tail() == "before the end"


async def test_lines_are_logged_whole_with_the_session_they_belong_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="offhook")
    async with supervised() as other:
        other.print(b"half a")
        await until(other.process.log_tail)
        assert caplog.records == []
        other.process.session_id = "local~x"
        other.print(b" line\nand the next\n")
        await until(lambda: len(caplog.records) == 2)
        lines = [(each.session, each.line) for each in caplog.records]  # type: ignore[attr-defined]
    assert lines == [("local~x", "half a line"), ("local~x", "and the next")]


async def test_more_lines_than_anybody_could_read_are_counted_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="offhook")
    async with supervised() as other:
        printed = 0
        with anyio.fail_after(10):
            while "output dropped" not in caplog.text:
                other.print(b"x\n" * 500)
                printed += 500
                await anyio.sleep(0.05)
        (dropped,) = [each for each in caplog.records if each.message == "output dropped"]
        logged = [each for each in caplog.records if each.message == "bot printed"]
        assert dropped.levelno == logging.WARNING
        assert 0 < dropped.lines < printed  # type: ignore[attr-defined]
        assert len(logged) <= 3 * LINES_PER_SECOND


async def test_one_that_prints_without_end_does_not_hold_the_server_up() -> None:
    async with supervised() as other, running("/usr/bin/yes", stdout=other.output_fd) as printer:
        await until(other.process.log_tail)
        for _ in range(50):
            await anyio.sleep(0.001)
        printer.kill()
        await printer.wait()


# Killing


async def test_killing_is_done_by_descriptor_and_reaches_the_process() -> None:
    async with running("/bin/sleep", "60") as sleeper, supervised() as other:
        other.process.was_forked(sleeper.pid)
        assert other.process.pid == sleeper.pid
        other.process.kill()
        assert await sleeper.wait() == -signal.SIGKILL
        await other.reap(WorkerExit(signal=9))
        other.process.kill()  # has gone already
        other.process.dump_stacks()


async def test_it_can_be_killed_more_gently() -> None:
    async with running("/bin/sleep", "60") as sleeper, supervised() as other:
        other.process.was_forked(sleeper.pid)
        other.process.kill(signal_number=signal.SIGTERM)
        assert await sleeper.wait() == -signal.SIGTERM


async def test_stacks_are_asked_for_with_sigusr1() -> None:
    async with running("/bin/sleep", "60") as sleeper, supervised() as other:
        other.process.was_forked(sleeper.pid)
        other.process.dump_stacks()
        # It ends a process that does not know it.
        assert await sleeper.wait() == -signal.SIGUSR1


async def test_one_that_is_killed_before_it_was_forked_sees_the_end_and_is_killed_when_it_is() -> (
    None
):
    async with running("/bin/sleep", "60") as sleeper, supervised() as other:
        other.process.kill()
        assert other.channel.drain() == []
        with pytest.raises(Exception, match="has gone"):
            await other.channel.receive()
        other.process.was_forked(sleeper.pid)
        assert await sleeper.wait() == -signal.SIGKILL


async def test_a_process_that_went_before_its_fork_was_reported_is_no_error() -> None:
    async with supervised() as other:
        other.process.was_forked(NO_PID)
        other.process.dump_stacks()
        other.process.kill()
        assert await other.reap(WorkerExit(exit_code=1)) == WorkerExit(exit_code=1)


async def test_the_first_report_of_its_end_counts() -> None:
    async with supervised() as other:
        other.process.was_reaped(WorkerExit(exit_code=3))
        assert await other.reap(WorkerExit(signal=9)) == WorkerExit(exit_code=3)

"""The template as the server sees it, played over a socket pair."""

import os
import socket
from collections.abc import Iterator

import anyio
import pytest
from tests.server.pool.fakes import until

from offhook.channel import Channel, socket_pair
from offhook.ids import WorkerId
from offhook.protocol.control import (
    ForkFailed,
    ForkWorker,
    Heartbeat,
    TemplateReady,
    WorkerForked,
)
from offhook.server.pool.template import NoTemplateError, Template, TemplateMessage

W1 = WorkerId("w1")
READY = TemplateReady(
    generation=1, pid=1, python="3", threads=1, rss_bytes=1, preload_ms=1.0, bot="bot.py"
)


@pytest.fixture
def for_worker() -> Iterator[tuple[socket.socket, int]]:
    """What a fork takes along: the worker's end of its channel, and of its output."""
    ours, theirs = socket_pair()
    reading, writing = os.pipe()
    with ours, theirs:
        yield theirs, writing
    os.close(reading)
    os.close(writing)


def test_before_there_is_one_nothing_can_be_forked(for_worker: tuple[socket.socket, int]) -> None:
    channel, output_fd = for_worker
    with pytest.raises(NoTemplateError):
        Template().fork(W1, rehearse=True, channel=channel, output_fd=output_fd)


async def test_a_fork_is_ordered_with_the_workers_channel_and_output(
    for_worker: tuple[socket.socket, int],
) -> None:
    channel, output_fd = for_worker
    ours, theirs = socket_pair()
    template = Template()
    with Channel(theirs) as process:
        async with anyio.create_task_group() as group:
            group.start_soon(template.listen, Channel(ours), [].append)
            await anyio.wait_all_tasks_blocked()
            template.fork(W1, rehearse=False, channel=channel, output_fd=output_fd)
            message, fds = await process.receive()
            assert message == ForkWorker(worker_id=W1, rehearse=False)
            assert [os.fstat(fd).st_ino for fd in fds] == [
                os.fstat(channel.fileno()).st_ino,
                os.fstat(output_fd).st_ino,
            ]
            for fd in fds:
                os.close(fd)
            process.close()
        with pytest.raises(NoTemplateError):
            template.fork(W1, rehearse=False, channel=channel, output_fd=output_fd)


async def test_a_template_that_has_gone_or_does_not_read_cannot_fork(
    for_worker: tuple[socket.socket, int],
) -> None:
    channel, output_fd = for_worker
    ours, theirs = socket_pair()
    template = Template()
    async with anyio.create_task_group() as group:
        group.start_soon(template.listen, Channel(ours), [].append)
        await anyio.wait_all_tasks_blocked()

        def fork_without_end() -> None:
            while True:
                template.fork(W1, rehearse=True, channel=channel, output_fd=output_fd)

        with pytest.raises(NoTemplateError, match="stopped reading"):
            fork_without_end()
        theirs.close()
        with pytest.raises(NoTemplateError, match="gone"):
            template.fork(W1, rehearse=True, channel=channel, output_fd=output_fd)


async def test_its_reports_are_told_in_order_and_nothing_else_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[TemplateMessage] = []
    ours, theirs = socket_pair()
    reports = [
        READY,
        WorkerForked(worker_id=W1, pid=7),
        ForkFailed(worker_id="w2", problem="no memory"),
    ]
    with Channel(theirs) as process:
        async with anyio.create_task_group() as group:
            group.start_soon(Template().listen, Channel(ours), told.append)
            process.send(Heartbeat(lag_ms=1), [0])
            theirs.send(b"\x81\xa1t\xabfrom_future")
            for report in reports:
                process.send(report)
            await until(lambda: len(told) == 3)
            process.close()
    assert told == reports
    assert "message out of place ignored" in caplog.text
    assert "unknown message ignored" in caplog.text


async def test_the_end_of_an_older_one_does_not_end_the_newer(
    for_worker: tuple[socket.socket, int],
) -> None:
    channel, output_fd = for_worker
    template = Template()
    (old, old_process), (new, new_process) = socket_pair(), socket_pair()
    async with anyio.create_task_group() as group:
        group.start_soon(template.listen, Channel(old), [].append)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(template.listen, Channel(new), [].append)
        await anyio.wait_all_tasks_blocked()
        old_process.close()
        await until(lambda: old.fileno() < 0)
        template.fork(W1, rehearse=True, channel=channel, output_fd=output_fd)
        with Channel(new_process) as process:
            message, fds = await process.receive()
            assert isinstance(message, ForkWorker)
            for fd in fds:
                os.close(fd)

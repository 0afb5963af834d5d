"""Records and descriptors over a real socket pair."""

import os
import socket
from pathlib import Path

import anyio
import pytest

from offhook.channel import (
    MEMORY_FILE_LIMIT_BYTES,
    Channel,
    ChannelClosedError,
    ChannelFullError,
    receive_record,
    send_record,
    socket_pair,
)
from offhook.errors import BadMessageError
from offhook.protocol.control import RECORD_LIMIT_BYTES, Heartbeat, StartBot, StopServer


def test_a_message_arrives_as_it_was_sent() -> None:
    ours, theirs = socket_pair()
    with ours, theirs:
        send_record(ours, StopServer(grace_s=1.5))
        assert receive_record(theirs) == (StopServer(grace_s=1.5), ())


def test_a_descriptor_rides_along_and_is_closed_on_exec() -> None:
    ours, theirs = socket_pair()
    reading, writing = os.pipe()
    with ours, theirs:
        send_record(ours, Heartbeat(lag_ms=0), [writing])
        os.close(writing)
        _, (fd,) = receive_record(theirs)
        assert not os.get_inheritable(fd)
        os.write(fd, b"through")
        os.close(fd)
        assert os.read(reading, 10) == b"through"
        os.close(reading)


def test_what_is_too_long_for_a_record_travels_in_memory() -> None:
    ours, theirs = socket_pair()
    body = b"x" * (3 * RECORD_LIMIT_BYTES)
    with ours, theirs:
        send_record(ours, StartBot(session_id="s", kind="webrtc", body=body))
        message, fds = receive_record(theirs)
    assert isinstance(message, StartBot)
    assert message.body == body
    assert fds == ()


def test_a_memory_file_over_the_limit_is_refused_unread() -> None:
    ours, theirs = socket_pair()
    with ours, theirs:
        body = b"x" * MEMORY_FILE_LIMIT_BYTES
        send_record(ours, StartBot(session_id="s", kind="webrtc", body=body))
        with pytest.raises(BadMessageError, match="limit"):
            receive_record(theirs)


def test_a_peer_that_has_gone_is_noticed_on_both_ways() -> None:
    ours, theirs = socket_pair()
    theirs.close()
    with ours:
        with pytest.raises(ChannelClosedError):
            receive_record(ours)
        with pytest.raises(ChannelClosedError):
            send_record(ours, Heartbeat(lag_ms=0))


def test_a_record_that_is_no_message_is_an_error_and_leaks_nothing() -> None:
    ours, theirs = socket_pair()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ours, theirs:
        for record in (b"\x00", b"\xff" * 10, b"\x81\xa1t\xa7unknown"):
            socket.send_fds(ours, [record], [0])
            with pytest.raises(BadMessageError):
                receive_record(theirs)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_waiting_in_the_kernel_gives_the_next_message_or_the_end() -> None:
    ours, theirs = socket_pair()
    with Channel(ours) as sender, Channel(theirs) as receiver:
        sender.send(Heartbeat(lag_ms=1))
        assert receiver.wait().message == Heartbeat(lag_ms=1)
        sender.send(Heartbeat(lag_ms=2))
        assert (await receiver.receive()).message == Heartbeat(lag_ms=2)  # it waits as before
        sender.close()
        with pytest.raises(ChannelClosedError):
            receiver.wait()


async def test_sending_to_one_who_does_not_read_never_waits() -> None:
    ours, theirs = socket_pair()

    def send_without_end(channel: Channel) -> None:
        for _ in range(100_000):
            channel.send(Heartbeat(lag_ms=0))

    with Channel(ours) as channel, theirs, pytest.raises(ChannelFullError):
        send_without_end(channel)


async def test_messages_come_in_order_whoever_waits_first() -> None:
    ours, theirs = socket_pair()
    with Channel(ours) as sender, Channel(theirs) as receiver:
        got: list[float] = []

        async def receive() -> None:
            while len(got) < 3:
                message = (await receiver.receive()).message
                assert isinstance(message, Heartbeat)
                got.append(message.lag_ms)

        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            for lag in (1.0, 2.0, 3.0):
                await anyio.lowlevel.checkpoint()
                sender.send(Heartbeat(lag_ms=lag))
    assert got == [1.0, 2.0, 3.0]


async def test_closing_ends_who_waits_on_this_end_and_on_the_other() -> None:
    ours, theirs = socket_pair()
    ended: list[str] = []

    async def wait(channel: Channel, name: str) -> None:
        with pytest.raises(ChannelClosedError):
            await channel.receive()
        ended.append(name)

    a, b = Channel(ours), Channel(theirs)
    async with anyio.create_task_group() as group:
        group.start_soon(wait, a, "this")
        group.start_soon(wait, b, "other")
        await anyio.wait_all_tasks_blocked()
        a.close()
    b.close()
    b.close()
    assert sorted(ended) == ["other", "this"]

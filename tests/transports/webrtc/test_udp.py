"""Media ports within a range."""

import asyncio
import socket
from contextlib import ExitStack

import pytest

from offhook.errors import UsageError
from offhook.transports.webrtc.connection import SmallWebRTCConnection
from offhook.transports.webrtc.settings import WebRTCSettings
from offhook.transports.webrtc.udp import (
    MediaEventLoop,
    UdpPortsExhaustedError,
    binding_within,
    new_event_loop,
)

from .peers import Client, running


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio", {"loop_factory": new_event_loop}


def free_range(width: int) -> tuple[int, int]:
    """Find ports in a row that are free on all addresses right now."""
    return next(
        (low, low + width - 1)
        for low in range(40_000, 60_000, width)
        if all(is_free(port) for port in range(low, low + width))
    )


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


async def bound_port() -> int:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    port: int = transport.get_extra_info("sockname")[1]
    transport.close()
    await asyncio.sleep(0)
    return port


async def test_within_the_block_ports_are_those_of_the_range():
    low, high = free_range(10)
    with binding_within((low, high)):
        assert low <= await bound_port() <= high


async def test_without_a_range_the_system_chooses():
    with binding_within(None):
        assert await bound_port() > 0


async def test_a_taken_port_is_passed_over():
    low, high = free_range(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", low))
        with binding_within((low, high)):
            for _ in range(5):
                assert await bound_port() == high


async def test_an_address_that_is_not_ours_is_no_matter_of_ports():
    loop = asyncio.get_running_loop()
    with binding_within(free_range(2)), pytest.raises(OSError, match="assign"):
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("203.0.113.1", 0))


async def test_candidates_of_an_answer_lie_in_the_range():
    low, high = free_range(20)
    connection = SmallWebRTCConnection(
        settings=WebRTCSettings(udp_ports=(low, high), last_words_timeout_s=0.0)
    )
    client = Client()
    async with running(connection):
        answer = await connection.answer(await client.offer())
        ports = {
            int(line.split()[5])
            for line in answer.sdp.splitlines()
            if line.startswith("a=candidate:")
        }
        assert ports
        assert all(low <= port <= high for port in ports)
    await client.aclose()


async def test_an_exhausted_range_is_an_error_and_no_answer_without_candidates():
    low, high = free_range(1)
    connection = SmallWebRTCConnection(
        settings=WebRTCSettings(udp_ports=(low, high), last_words_timeout_s=0.0)
    )
    client = Client()
    with ExitStack() as stack:
        for family, host in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
            taken = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            if family == socket.AF_INET6:
                taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            taken.bind((host, low))
        with pytest.raises(UdpPortsExhaustedError, match=str(low)):
            await connection.answer(await client.offer())
    await connection.aclose()
    await client.aclose()


def test_the_loop_of_a_worker_is_ours():
    loop = new_event_loop()
    assert isinstance(loop, MediaEventLoop)
    loop.close()


def test_another_loop_cannot_keep_to_a_range():
    async def bind() -> None:
        with binding_within((40_000, 40_001)):
            raise AssertionError("unreachable")

    with asyncio.Runner() as runner, pytest.raises(UsageError, match="udp-ports"):
        runner.run(bind())

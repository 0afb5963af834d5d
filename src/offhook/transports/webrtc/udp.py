"""Media ports within a range, so that a firewall can be opened for them.

The ICE library lets the event loop choose the port of a host candidate. Our loop chooses within
the range that `binding_within` sets for the calls inside its block, and nowhere else.
"""

import asyncio
import errno
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from offhook.errors import UsageError, WorkerError

_ports: ContextVar[tuple[int, int] | None] = ContextVar("udp_ports", default=None)


class UdpPortsExhaustedError(WorkerError):
    """All ports of the range are taken."""

    code = "udp_ports_exhausted"
    hint = "Widen --udp-ports; a session needs one port for each local address."

    def __init__(self, ports: tuple[int, int]) -> None:
        super().__init__(f"no free UDP port from {ports[0]} to {ports[1]}")
        self.ports = ports


class MediaEventLoop(asyncio.SelectorEventLoop):
    """The event loop of a process that carries WebRTC media."""

    async def create_datagram_endpoint(  # type: ignore[override]  # the stub repeats all keywords
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: tuple[str, int] | str | None = None,
        **options: Any,  # noqa: ANN401 -- handed on as they are
    ) -> tuple[asyncio.DatagramTransport, asyncio.DatagramProtocol]:
        """Do as the loop does, but keep within the range where one is set."""
        ports = _ports.get()
        if ports is None or not isinstance(local_addr, tuple) or local_addr[1] != 0:
            return await super().create_datagram_endpoint(
                protocol_factory, local_addr=local_addr, **options
            )
        sock = _bind(local_addr[0], ports)
        try:
            transport, protocol = await super().create_datagram_endpoint(
                protocol_factory, sock=sock
            )
        except BaseException:
            sock.close()
            raise
        return transport, protocol


def new_event_loop() -> MediaEventLoop:
    """Make a loop; to be handed to `asyncio.Runner` as its factory."""
    return MediaEventLoop()


@contextmanager
def binding_within(ports: tuple[int, int] | None) -> Iterator[None]:
    """Within this block host candidates get a port of this range.

    Raises:
        UsageError: The running loop is not ours.
    """
    if ports is not None and not isinstance(asyncio.get_running_loop(), MediaEventLoop):
        raise UsageError("--udp-ports needs the event loop of a worker process")
    token = _ports.set(ports)
    try:
        yield
    finally:
        _ports.reset(token)


def _bind(host: str, ports: tuple[int, int]) -> socket.socket:
    """Bind to a free port of the range; many processes try at once, so each begins elsewhere."""
    low, high = ports
    count = high - low + 1
    start = random.randrange(count)  # noqa: S311 -- spreads, hides nothing
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for offset in range(count):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)  # noqa: FBT003 -- positional only
            sock.bind((host, low + (start + offset) % count))
        except OSError as error:
            sock.close()
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
        else:
            return sock
    raise OSError(errno.EADDRINUSE, f"no free UDP port from {low} to {high}")

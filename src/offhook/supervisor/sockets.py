"""The listening sockets: bound once, by the process that outlives the servers."""

import errno
import socket
from typing import Final

from offhook.errors import UsageError

BACKLOG: Final = 2048


class AddressError(UsageError):
    """The address cannot be listened on."""

    code = "address"


def listen(host: str, port: int) -> list[socket.socket]:
    """Bind and listen; `localhost` means both of its addresses where both exist.

    Raises:
        AddressError: The address is taken, unknown or not ours.
    """
    if host != "localhost":
        return [_listen(host, port)]
    sockets = [_listen("127.0.0.1", port)]
    try:
        sockets.append(_listen("::1", sockets[0].getsockname()[1]))
    except AddressError as error:
        # Without IPv6 one address is enough; but not half of a port that somebody else has.
        if port and getattr(error.__cause__, "errno", None) == errno.EADDRINUSE:
            sockets[0].close()
            raise
    return sockets


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressError(f"cannot listen on {host}: {error.strerror}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 -- positional only
    except OSError as error:
        sock.close()
        hint = f"Something else uses port {port}; choose another with --port." if port else ""
        raise AddressError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint=hint
        ) from error
    return sock

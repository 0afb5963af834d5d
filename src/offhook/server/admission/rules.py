"""PURE: may a session start, and which browser pages may ask for one?"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import ClassVar, Final
from urllib.parse import urlsplit

from offhook.errors import RefusedError

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class BusyError(RefusedError):
    """As many sessions are live as may be."""

    code = "busy"
    hint = "Try again in a few seconds, or raise --max-sessions."
    retry_after_s: ClassVar[int] = 5

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"All {limit} lines are busy." if limit > 1 else "The only line is busy.")
        self.limit = limit


class DrainingError(RefusedError):
    """The server is ending; it finishes what is live and starts nothing."""

    code = "draining"
    hint = "Try again in a moment; another server may answer."
    retry_after_s: ClassVar[int] = 10

    def __init__(self) -> None:
        super().__init__("The server is shutting down.")


class OriginRefusedError(RefusedError):
    """A page of somebody else's wants to talk to us."""

    code = "origin_refused"

    def __init__(self, origin: str) -> None:
        super().__init__(
            f"Pages from {origin!r} may not use this server.",
            hint=f"Start it with --allowed-origins {origin} if they should.",
        )
        self.origin = origin


def check_admission(*, live: int, limit: int, is_draining: bool) -> None:
    """Refuse a session when the server ends or is full.

    Raises:
        DrainingError: The server is ending.
        BusyError: `limit` sessions are live.
    """
    if is_draining:
        raise DrainingError
    if live >= limit:
        raise BusyError(limit=limit)


def is_allowed_origin(
    origin: str, *, host: str, allowed: Collection[str], is_local_bind: bool
) -> bool:
    """Say whether a page of this origin (RFC 6454 §7) may use us, called by the name `host`.

    Those that the configuration lists may. While only this machine can reach us, all pages that
    this machine itself serves may, and no others: a stranger can have the name of a page of theirs
    point to this machine (DNS rebinding), and would pass as ours. Else our own may.
    """
    if "*" in allowed or origin in allowed:
        return True
    place = _place(origin)
    if place is None:
        return False
    scheme, name, port = place
    if is_local_bind:
        return _is_loopback(name)
    return _place(f"{scheme}://{host}") == (scheme, name, port)


def _place(origin: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        return None
    return parts.scheme, parts.hostname, DEFAULT_PORTS[parts.scheme] if port is None else port


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False

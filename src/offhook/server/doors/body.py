"""Bodies of requests: bounded in length and time, and JSON whatever their Content-Type says."""

import re
from typing import Final, TypeVar

import anyio
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from offhook.errors import BadMessageError, PeerError
from offhook.server.doors.errors import (
    InvalidRequestError,
    RequestTooLargeError,
    SlowRequestError,
    respond,
)

LIMIT_BYTES: Final = 1024 * 1024
TIMEOUT_S: Final = 30.0
MAX_DEPTH: Final = 100
"""Deepest nesting of application data: a worker's stack must be able to follow."""

_BRACKETS_AND_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
_MEMBER: Final = re.compile(r" - at `\$\.?(.*)`$")

BodyType = TypeVar("BodyType")


class DisconnectedError(PeerError):
    """The client has gone before it had said everything."""

    code = "disconnected"


class BodyLimit:
    """Refuses bodies that are too long: at once if they say so, else as soon as they prove it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and (
            len(announced) > len("1048576") or int(announced) > LIMIT_BYTES
        ):
            await respond(RequestTooLargeError(LIMIT_BYTES))(scope, receive, send)
            return
        size = 0

        async def receive_some() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LIMIT_BYTES:
                raise RequestTooLargeError(LIMIT_BYTES)
            return message

        await self._app(scope, receive_some, send)


async def read(request: Request) -> bytes:
    """Read a request's body.

    Raises:
        SlowRequestError: It did not arrive in time.
        RequestTooLargeError: It is too long.
        DisconnectedError: The client has gone.
    """
    try:
        with anyio.fail_after(TIMEOUT_S):
            return await request.body()
    except TimeoutError as error:
        raise SlowRequestError(f"The request took longer than {TIMEOUT_S:g} s.") from error
    except ClientDisconnect as error:
        raise DisconnectedError("The client has gone.") from error


def parse(data: bytes, shape: type[BodyType]) -> BodyType:
    """Turn JSON text into a struct; members that it does not know are ignored.

    Raises:
        BadMessageError: It is not JSON.
        InvalidRequestError: It is JSON of another shape.
    """
    try:
        data.decode()  # members that are passed on unread must be UTF-8 too
        return msgspec.json.decode(data, type=shape)
    except msgspec.ValidationError as error:
        problem = str(error)
        found = _MEMBER.search(problem)
        raise InvalidRequestError(
            f"{_MEMBER.sub('', problem)}.", member="" if found is None else found[1]
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessageError("JSON", str(error), hint="Send one JSON object.") from error
    except RecursionError as error:
        raise BadMessageError("JSON", "nested too deeply") from error


def application_data(raw: msgspec.Raw) -> bytes | None:
    """Check that a worker can read what is passed on as it is; absent and null are None.

    Raises:
        BadMessageError: A worker could not read it.
    """
    text = bytes(raw)
    if text.strip() in {b"", b"null"}:
        return None
    if _depth(text) > MAX_DEPTH:
        raise BadMessageError("JSON", f"data for the bot nested deeper than {MAX_DEPTH} levels")
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BadMessageError("JSON", str(error)) from error
    return text


def _depth(text: bytes) -> int:
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for found in _BRACKETS_AND_STRINGS.finditer(text):
        bracket = found[0][0]
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in b"]}":
            depth -= 1
    return deepest

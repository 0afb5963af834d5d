"""The one translation of errors into HTTP: always JSON, always in words."""

import logging
from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from offhook.errors import (
    OffhookError,
    PeerError,
    RefusedError,
    SessionEndedError,
    UnknownConnectionError,
    UnknownSessionError,
    WorkerError,
)
from offhook.server.admission.rules import BusyError, DrainingError, OriginRefusedError

log = logging.getLogger(__name__)


class InvalidRequestError(PeerError):
    """A request is JSON, but lacks a member or has one of a wrong type."""

    code = "invalid_request"
    hint = "The errors say which member and why."

    def __init__(self, problem: str, *, member: str) -> None:
        super().__init__(problem)
        self.member = member


class RequestTooLargeError(PeerError):
    """A request's body is longer than we read."""

    code = "request_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"A request may have {limit_bytes} bytes.",
            hint="Send less with the request; give the bot large data by reference.",
        )


class SlowRequestError(PeerError):
    """A request's body did not arrive in time."""

    code = "request_timeout"
    hint = "Send the request again."


HTTP_STATUS: Final[dict[type[OffhookError], int]] = {
    PeerError: 400,
    InvalidRequestError: 422,
    RequestTooLargeError: 413,
    SlowRequestError: 408,
    UnknownSessionError: 404,
    UnknownConnectionError: 404,
    SessionEndedError: 410,
    RefusedError: 403,
    OriginRefusedError: 403,
    BusyError: 429,
    DrainingError: 503,
    WorkerError: 502,
    OffhookError: 500,
}
"""By class; a class that is not listed is treated as its nearest parent."""
STATUS_BY_CODE: Final = {"no_worker": 503, "answer_timeout": 504}
"""For classes of layers that the doors do not know."""
HINTS: Final = {
    404: "GET /status says what this server serves.",
    405: "The Allow header lists the methods of this path.",
}


class JsonResponse(Response):
    """JSON, encoded by msgspec."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Encode the content."""
        return msgspec.json.encode(content)


def status_of(error: OffhookError) -> int:
    """Find the HTTP status of an error."""
    if (status := STATUS_BY_CODE.get(error.code)) is not None:
        return status
    return next(HTTP_STATUS[each] for each in type(error).__mro__ if each in HTTP_STATUS)


def respond(error: OffhookError) -> JsonResponse:
    """Turn an error into its response."""
    content: dict[str, object] = {"code": error.code, "detail": error.detail, "hint": error.hint}
    if isinstance(error, InvalidRequestError):
        loc = ["body", *error.member.split(".")] if error.member else ["body"]
        content["errors"] = [{"loc": loc, "msg": error.detail}]
    headers = {}
    if isinstance(error, BusyError | DrainingError):
        headers["retry-after"] = str(error.retry_after_s)
    elif isinstance(error, WorkerError):
        headers["retry-after"] = "2"
    return JsonResponse(content, status_code=status_of(error), headers=headers)


async def respond_to_offhook_error(_request: Request, error: Exception) -> Response:
    """Answer for everything that we raise on purpose."""
    if not isinstance(error, OffhookError):
        raise error
    return respond(error)


async def respond_to_http_error(_request: Request, error: Exception) -> Response:
    """Answer for what the framework refuses: unknown paths and methods."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    code = "internal" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else status.name.lower()
    content = {
        "code": code,
        "detail": f"{status.phrase}.",
        "hint": HINTS.get(status, ""),
    }
    return JsonResponse(content, status_code=status, headers=error.headers)


class LastResort:
    """Turns a bug into a JSON answer, and logs it; the framework would answer in plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        has_started = False

        async def send_on(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except OffhookError as error:
            if has_started or scope["type"] != "http":
                raise
            await respond(error)(scope, receive, send)
        except Exception:
            if has_started or scope["type"] != "http":
                raise
            # The request's boundary: whatever the bug is, the client reads JSON and others go on.
            log.exception("request failed", extra={"path": scope["path"]})
            content = {
                "code": "internal",
                "detail": "Something went wrong in the server.",
                "hint": "The server's log has the details.",
            }
            await JsonResponse(content, status_code=500)(scope, receive, send)


def add_error_handlers(app: FastAPI) -> None:
    """Install the translation."""
    app.add_exception_handler(OffhookError, respond_to_offhook_error)
    app.add_exception_handler(HTTPException, respond_to_http_error)

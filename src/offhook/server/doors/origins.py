"""Browser pages: whose may use this server (RFC 6454), and how they are told (CORS, Fetch §3.2)."""

from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from offhook.server.admission.rules import OriginRefusedError, is_allowed_origin
from offhook.server.doors.errors import respond

METHODS: Final = "GET, POST, PUT, PATCH, DELETE, OPTIONS, HEAD"
PREFLIGHT_AGE_S: Final = 600
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Origins:
    """Lets pages of allowed origins in, and refuses what others would change.

    A request without an Origin does not come from a page; it passes.
    """

    def __init__(self, app: ASGIApp, *, allowed: Collection[str], is_local_bind: bool) -> None:
        self._app = app
        self._allowed, self._is_local_bind = frozenset(allowed), is_local_bind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers({})
        origin = headers.get("origin")
        if origin is None:
            await self._app(scope, receive, send)
            return
        is_preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
        if not is_allowed_origin(
            origin,
            host=headers.get("host", ""),
            allowed=self._allowed,
            is_local_bind=self._is_local_bind,
        ):
            if is_preflight or scope["method"] not in SAFE_METHODS:
                await respond(OriginRefusedError(origin))(scope, receive, send)
            else:
                await self._app(scope, receive, send)
            return

        async def send_with_permission(message: Message) -> None:
            if message["type"] == "http.response.start":
                permission = MutableHeaders(scope=message)
                permission["access-control-allow-origin"] = origin
                permission["access-control-allow-credentials"] = "true"
                permission["access-control-expose-headers"] = "retry-after"
                permission.add_vary_header("origin")
            await send(message)

        if is_preflight:
            await _preflight(headers)(scope, receive, send_with_permission)
        else:
            await self._app(scope, receive, send_with_permission)


def _preflight(headers: Headers) -> Response:
    granted = {
        "access-control-allow-methods": METHODS,
        "access-control-max-age": str(PREFLIGHT_AGE_S),
        "vary": "access-control-request-headers",
    }
    if (wanted := headers.get("access-control-request-headers")) is not None:
        granted["access-control-allow-headers"] = wanted
    if headers.get("access-control-request-private-network") == "true":
        granted["access-control-allow-private-network"] = "true"
    return Response(status_code=204, headers=granted)

"""POST /start: open a session and say how to reach it."""

from typing import Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request

from offhook.errors import PeerError
from offhook.protocol.control import IceServer
from offhook.server.doors import body
from offhook.server.doors.asking import DispatcherDep
from offhook.server.doors.errors import JsonResponse

router = APIRouter()

KNOWN: Final = (
    "webrtc",
    "daily",
    "livekit",
    "twilio",
    "telnyx",
    "plivo",
    "exotel",
    "websocket",
    "moq",
)
SERVED: Final = ("webrtc",)
PUBLIC_STUN: Final = IceServer(urls=("stun:stun.l.google.com:19302",))


class TransportRefusedError(PeerError):
    """This server does not serve the transport that is asked for."""

    code = "transport_refused"
    hint = f"Ask for one of: {', '.join(SERVED)}."


class StartBody(msgspec.Struct, rename="camel"):
    transport: str | None = None
    body: msgspec.Raw = msgspec.Raw()
    enable_default_ice_servers: bool | None = None
    create_daily_room: bool | None = None


def check_transport(wanted: str, served: str | None) -> None:
    """Refuse a transport that this server cannot serve.

    Raises:
        TransportRefusedError: It is unknown, switched off, or not built in.
    """
    if wanted not in KNOWN:
        raise TransportRefusedError(f"Unknown transport {wanted[:40]!r}.")
    if served is not None and wanted != served:
        raise TransportRefusedError(
            f"Transport {wanted!r} is not allowed. "
            f"Server is configured for {served!r} only (-t {served})."
        )
    if wanted not in SERVED:
        raise TransportRefusedError(f"Transport {wanted!r} is not part of this release.")


@router.post("/start")
async def start(request: Request, dispatcher: DispatcherDep) -> JsonResponse:
    """Open a session that waits for its offer."""
    config = dispatcher.config
    asked = body.parse(await body.read(request) or b"{}", StartBody)
    default = "daily" if asked.create_daily_room else config.transport or "webrtc"
    check_transport(asked.transport or default, config.transport)
    session = dispatcher.request(body.application_data(asked.body) or b"{}")
    answer: dict[str, object] = {"sessionId": session.id}
    if config.ice_servers:
        answer["iceConfig"] = {"iceServers": config.ice_servers}
    elif asked.enable_default_ice_servers:
        answer["iceConfig"] = {"iceServers": (PUBLIC_STUN,)}
    return JsonResponse(answer)

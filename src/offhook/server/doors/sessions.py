"""Who is talking: list, look at, watch and end sessions."""

from collections.abc import AsyncIterator
from typing import Final

import anyio
import msgspec
from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from offhook.ids import SessionId
from offhook.protocol.endings import EndReason
from offhook.server.doors.asking import DispatcherDep
from offhook.server.doors.errors import InvalidRequestError, JsonResponse
from offhook.server.sessions import Event, Session

router = APIRouter()

MAX_LISTED: Final = 500
KEEP_ALIVE_S: Final = 15.0


@router.get("/sessions")
async def list_sessions(dispatcher: DispatcherDep, ended: str | None = None) -> Response:
    """List the live sessions, or with `?ended=N` the last N that ended."""
    if ended is None:
        listed = dispatcher.live_sessions()
    elif ended.isascii() and ended.isdigit() and int(ended[:9]) <= MAX_LISTED:
        listed = dispatcher.ended_sessions(int(ended))
    else:
        raise InvalidRequestError(f"ended is a number up to {MAX_LISTED}.", member="ended")
    return JsonResponse({"sessions": [session.describe() for session in listed]})


@router.get("/sessions/{session_id}")
async def show_session(session_id: str, dispatcher: DispatcherDep) -> Response:
    """Describe a session, also some time after its end."""
    return JsonResponse(dispatcher.find(SessionId(session_id)).describe())


@router.delete("/sessions/{session_id}")
async def end_session(session_id: str, dispatcher: DispatcherDep) -> Response:
    """End a session; the answer comes when its process has gone."""
    await dispatcher.end(SessionId(session_id), EndReason.STOPPED_BY_OPERATOR)
    return JsonResponse({"status": "terminated", "session_id": session_id})


@router.get("/sessions/{session_id}/log")
async def session_log(session_id: str, dispatcher: DispatcherDep) -> Response:
    """Return what the bot's process printed last."""
    log = dispatcher.log_of(SessionId(session_id))
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
    return PlainTextResponse(log, headers=headers)


@router.get("/sessions/{session_id}/events")
async def session_events(session_id: str, dispatcher: DispatcherDep) -> Response:
    """Tell a session's history as it happens (Server-Sent Events): past first, until its end."""
    session = dispatcher.find(SessionId(session_id))
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(tell(session), media_type="text/event-stream", headers=headers)


async def tell(session: Session) -> AsyncIterator[bytes]:
    """Turn a session's history into the lines of an event stream (HTML §9.2)."""
    told = 0
    while True:
        news = session.events[told:]
        told += len(news)
        if news:
            yield b"".join(map(encode, news))
        if session.ending is not None and told == len(session.events):
            return
        with anyio.move_on_after(KEEP_ALIVE_S) as patience:
            if told == len(session.events):
                await session.changed()
        if patience.cancelled_caught:
            yield b": still here\n\n"


def encode(event: Event) -> bytes:
    """Turn one event into its lines."""
    return b"event: %b\ndata: %b\n\n" % (event.kind.encode(), msgspec.json.encode(event.data))

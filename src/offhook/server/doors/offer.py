"""Offers and trickled candidates: /api/offer, /sessions/{id}/api/offer."""

from typing import Annotated

import msgspec
from fastapi import APIRouter
from starlette.requests import Request

from offhook.errors import BadOfferError
from offhook.ids import SessionId
from offhook.protocol.control import IceCandidate
from offhook.protocol.sdp import check_candidates, parse_offer
from offhook.server.dispatch import Answer, OfferRequest
from offhook.server.doors import body
from offhook.server.doors.asking import DispatcherDep
from offhook.server.doors.errors import JsonResponse

router = APIRouter()

ConnectionId = Annotated[str, msgspec.Meta(max_length=200)]


class OfferBody(msgspec.Struct):
    sdp: str
    type: str
    pc_id: ConnectionId | None = None
    restart_pc: bool | None = None
    request_data: msgspec.Raw = msgspec.Raw()
    request_data_camel: msgspec.Raw = msgspec.field(name="requestData", default=msgspec.Raw())


class CandidatesBody(msgspec.Struct):
    pc_id: ConnectionId
    candidates: list[IceCandidate]


async def read_offer(request: Request, *, accepted_at: float) -> OfferRequest:
    """Read and check an offer: what passes can be answered.

    Raises:
        PeerError: It cannot.
    """
    asked = body.parse(await body.read(request), OfferBody)
    if asked.type != "offer":
        raise BadOfferError(f"The type must be 'offer', not {asked.type[:40]!r}.")
    data = body.application_data(asked.request_data)
    if data is None:
        data = body.application_data(asked.request_data_camel)
    return OfferRequest(
        sdp=parse_offer(asked.sdp).sdp,
        pc_id=asked.pc_id or None,
        is_restart=bool(asked.restart_pc),
        body=data,
        accepted_at=accepted_at,
    )


async def read_candidates(request: Request) -> CandidatesBody:
    """Read and check trickled candidates.

    Raises:
        PeerError: They cannot be used.
    """
    asked = body.parse(await body.read(request), CandidatesBody)
    check_candidates(asked.candidates)
    return asked


def respond(answer: Answer) -> JsonResponse:
    """Tell the client the answer."""
    return JsonResponse({"sdp": answer.sdp, "type": "answer", "pc_id": answer.pc_id})


@router.post("/api/offer")
async def offer(
    request: Request, dispatcher: DispatcherDep, session_id: str | None = None
) -> JsonResponse:
    """Answer an offer; a new `pc_id`, or none, begins a session."""
    asked = await read_offer(request, accepted_at=dispatcher.now())
    if session_id:
        return respond(await dispatcher.answer(SessionId(session_id), asked))
    answer = await dispatcher.answer_new(asked)
    if await request.is_disconnected():
        dispatcher.abandon(answer.session_id)
    return respond(answer)


@router.patch("/api/offer")
async def candidates(request: Request, dispatcher: DispatcherDep) -> JsonResponse:
    """Pass on what the client found after its offer."""
    asked = await read_candidates(request)
    dispatcher.add_ice_candidates(asked.pc_id, asked.candidates)
    return JsonResponse({"status": "success"})


@router.post("/sessions/{session_id}/api/offer")
async def session_offer(
    session_id: str, request: Request, dispatcher: DispatcherDep
) -> JsonResponse:
    """Answer an offer to this session; the first starts its bot."""
    asked = await read_offer(request, accepted_at=dispatcher.now())
    return respond(await dispatcher.answer(SessionId(session_id), asked))


@router.patch("/sessions/{session_id}/api/offer")
async def session_candidates(
    session_id: str, request: Request, dispatcher: DispatcherDep
) -> JsonResponse:
    """Pass on what the client of this session found after its offer."""
    asked = await read_candidates(request)
    dispatcher.add_ice_candidates(asked.pc_id, asked.candidates, session_id=SessionId(session_id))
    return JsonResponse({"status": "success"})

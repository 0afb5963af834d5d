"""Is the server alive, and would it answer? /health/live, /health/ready, /status."""

from fastapi import APIRouter
from starlette.responses import Response

from offhook.server.doors.asking import DispatcherDep
from offhook.server.doors.errors import JsonResponse
from offhook.server.doors.start import SERVED

router = APIRouter()


@router.api_route("/health/live", methods=["GET", "HEAD"])
async def live() -> Response:
    """Say that the process turns; an orchestrator restarts it when it does not."""
    return JsonResponse({"status": "live"})


@router.api_route("/health/ready", methods=["GET", "HEAD"])
async def ready(dispatcher: DispatcherDep) -> Response:
    """Say whether a new session would get a bot; a load balancer looks elsewhere when not."""
    if dispatcher.is_ready():
        return JsonResponse({"status": "ready"})
    content = {
        "code": "draining" if dispatcher.is_draining else "not_ready",
        "detail": "The server is shutting down."
        if dispatcher.is_draining
        else "No bot can be started yet.",
        "hint": "Ask again in a moment.",
    }
    return JsonResponse(content, status_code=503, headers={"retry-after": "1"})


@router.get("/status")
async def status(dispatcher: DispatcherDep) -> Response:
    """Say which transports are served; clients build their menu from it."""
    transports = SERVED if dispatcher.config.transport is None else (dispatcher.config.transport,)
    return JsonResponse({"status": "ready", "transports": transports})

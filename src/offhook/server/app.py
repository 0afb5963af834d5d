"""The composition root: doors, dispatcher and pool put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from offhook.clock import Clock
from offhook.server.config import Config, is_loopback
from offhook.server.dispatch import Dispatcher
from offhook.server.doors import client, health, offer, sessions, start
from offhook.server.doors.body import BodyLimit
from offhook.server.doors.errors import LastResort, add_error_handlers
from offhook.server.doors.origins import Origins
from offhook.server.handoff.lease import Pool


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Own the tasks of all sessions while the server serves."""
    dispatcher: Dispatcher = app.state.dispatcher
    async with dispatcher.serving():
        yield


def create_app(config: Config, *, clock: Clock, pool: Pool) -> FastAPI:
    """Build the application. Whoever runs it calls `app.state.dispatcher.aclose()` at the end."""
    app = FastAPI(
        title="Offhook",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.dispatcher = Dispatcher(config=config, clock=clock, pool=pool)
    for door in (start, offer, sessions, health, client):
        app.include_router(door.router)
    app.mount("/client", client.Page(directory=client.FILES, html=True, check_dir=False))
    add_error_handlers(app)
    # The last one added sees a request first.
    app.add_middleware(LastResort)
    app.add_middleware(BodyLimit)
    app.add_middleware(
        Origins, allowed=config.allowed_origins, is_local_bind=is_loopback(config.host)
    )
    return app

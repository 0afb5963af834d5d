"""How a door reaches the dispatcher."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from offhook.server.dispatch import Dispatcher


async def dispatcher_of(request: Request) -> Dispatcher:
    """Find the dispatcher of the application that serves this request."""
    dispatcher: Dispatcher = request.app.state.dispatcher
    return dispatcher


DispatcherDep = Annotated[Dispatcher, Depends(dispatcher_of)]

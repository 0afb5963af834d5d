"""Handlers that a bot registers with `@thing.event_handler("on_…")`."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from offhook.errors import UsageError
from offhook.kit.frames import ErrorFrame
from offhook.kit.runtime import Runtime

log = logging.getLogger(__name__)

Handler = Callable[..., Awaitable[object]]
HandlerT = TypeVar("HandlerT", bound=Handler)


class UnknownEventError(UsageError):
    """There is no event of this name."""

    code = "unknown_event"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no event {name!r}; there is {', '.join(sorted(known))}")
        self.name: str = name


class Events:
    """The events of one object, and who listens.

    Handlers run in tasks of the pipeline, so a slow one holds up neither audio nor other handlers.
    One that raises is logged and reported as an error; the session goes on.
    """

    def __init__(self, source: object, names: Iterable[str]) -> None:
        self._source = source
        self._handlers: dict[str, list[Handler]] = {name: [] for name in names}
        self._runtime: Runtime | None = None

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Register the decorated coroutine function; it is called with the source and the details.

        Raises:
            UnknownEventError: There is no event of this name; the error lists those that exist.
        """
        if name not in self._handlers:
            raise UnknownEventError(name, self._handlers)

        def register(handler: HandlerT) -> HandlerT:
            self._handlers[name].append(handler)
            return handler

        return register

    def has_handler(self, name: str) -> bool:
        """Tell whether anybody listens."""
        return bool(self._handlers[name])

    def attach(self, runtime: Runtime) -> None:
        """Say where handlers run; the pipeline does this."""
        self._runtime = runtime

    def emit(self, name: str, *details: object) -> None:
        """Start every handler of the event, in the order of registration, and go on."""
        if self._runtime is None:
            return  # nothing runs yet, or the object was never put into a pipeline
        for handler in self._handlers[name]:
            self._runtime.start_handler(self._run, name, handler, details)

    async def call(self, name: str, *details: object) -> None:
        """Run the handlers one after the other. What one raises is the caller's."""
        for handler in self._handlers[name]:
            await self._invoke(handler, details)

    async def _run(self, name: str, handler: Handler, details: tuple[object, ...]) -> None:
        try:
            await self._invoke(handler, details)
        except Exception as error:
            log.exception("event handler failed", extra={"event": name})
            if self._runtime is not None:
                kind = type(error).__name__
                self._runtime.report(ErrorFrame(f"The bot's {name} handler failed ({kind})."))

    async def _invoke(self, handler: Handler, details: tuple[object, ...]) -> None:
        result = handler(self._source, *details)
        if inspect.isawaitable(result):  # a plain function will do as well
            await result

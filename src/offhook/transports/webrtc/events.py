"""The events of a connection and who hears them: each kind in order, none delayed by another."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup

from offhook.errors import UsageError

log = logging.getLogger(__name__)

EVENTS: Final = ("connected", "disconnected", "closed", "app-message")
LAST_WORDS: Final = frozenset({"disconnected", "closed"})
LAST_HANDLERS_S: Final = 1.0
MESSAGES_LIMIT: Final = 1000
"""Messages that may wait for a handler that is slow."""

Handler = Callable[..., Awaitable[object]]


class Events:
    """Calls handlers with a subject, in tasks of its own while `run` runs.

    A handler of a lifecycle event may take as long as it likes. Messages are handled one at a
    time, in the order in which they came, once `release` has been called; before that a bounded
    number of them is kept, and never more than `MESSAGES_LIMIT`.
    """

    def __init__(self, subject: object, *, early_messages: int) -> None:
        self._subject = subject
        self._early_messages = early_messages
        self._handlers: dict[str, list[Handler]] = {name: [] for name in EVENTS}
        self._group: TaskGroup | None = None
        self._early: list[str] = []
        self._last_handlers = 0
        self._messages: deque[dict[str, object]] = deque()
        self._is_released = False
        self._changed = anyio.Event()

    def handler(self, name: str) -> Callable[[Handler], Handler]:
        """Return a decorator that registers a coroutine function.

        Raises:
            UsageError: There is no such event.
        """
        if name not in self._handlers:
            raise UsageError(f"no event {name!r}; there are {', '.join(map(repr, EVENTS))}")

        def register(handler: Handler) -> Handler:
            self._handlers[name].append(handler)
            return handler

        return register

    def emit(self, name: str) -> None:
        """Call the handlers of a lifecycle event."""
        if self._group is None:
            self._early.append(name)
            return
        for handler in self._handlers[name]:
            self._last_handlers += name in LAST_WORDS
            self._group.start_soon(self._handle, name, handler)

    def release(self) -> None:
        """Let messages through, those that were kept first."""
        self._is_released = True
        self._wake()

    def take(self, message: dict[str, object]) -> None:
        """Queue a message for the handlers; one too many for them is dropped."""
        limit = MESSAGES_LIMIT if self._is_released else self._early_messages
        if len(self._messages) >= limit:
            log.warning("message dropped", extra={"waiting": len(self._messages)})
            return
        self._messages.append(message)
        self._wake()

    async def run(self, ended: anyio.Event) -> None:
        """Call handlers until the end, and give the last ones a moment."""
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                group.start_soon(self._handle_messages)
                early, self._early = self._early, []
                for name in early:
                    self.emit(name)
                await ended.wait()
                await self._hear_last_handlers()
                group.cancel_scope.cancel()
        finally:
            self._group = None

    async def _hear_last_handlers(self) -> None:
        with anyio.move_on_after(LAST_HANDLERS_S):
            while self._last_handlers:
                await self._changed.wait()

    async def _handle_messages(self) -> None:
        while True:
            while self._messages and self._is_released:
                message = self._messages.popleft()
                for handler in self._handlers["app-message"]:
                    await self._call("app-message", handler, message)
            await self._changed.wait()

    async def _handle(self, name: str, handler: Handler) -> None:
        try:
            await self._call(name, handler)
        finally:
            self._last_handlers -= name in LAST_WORDS
            self._wake()

    async def _call(self, name: str, handler: Handler, *arguments: object) -> None:
        try:
            await handler(self._subject, *arguments)
        except Exception:
            # One handler's fault is not the connection's.
            log.exception("event handler failed", extra={"event": name})

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

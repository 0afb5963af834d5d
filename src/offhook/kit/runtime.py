"""What a running pipeline offers to its parts."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVarTuple, Unpack

import anyio

from offhook.kit.frames import ErrorFrame

PosArgsT = TypeVarTuple("PosArgsT")


class Runtime(Protocol):
    """The pipeline's task, as seen from a processor: it owns all work and can be asked to end."""

    has_audio_in: bool
    has_audio_out: bool

    def start_soon(
        self, work: Callable[[Unpack[PosArgsT]], Awaitable[object]], *args: *PosArgsT
    ) -> anyio.CancelScope:
        """Run work that lives at most as long as the pipeline. Its exception ends the session."""
        ...

    def start_handler(
        self, work: Callable[[Unpack[PosArgsT]], Awaitable[object]], *args: *PosArgsT
    ) -> None:
        """Run an event handler, which is given a moment to finish when the pipeline ends."""
        ...

    def report(self, error: ErrorFrame) -> None:
        """Tell the author's handlers and the client. A fatal error ends the session as a crash."""
        ...

    async def end(self) -> None:
        """Finish when what is queued has been said."""
        ...

    async def cancel(self, reason: str = "") -> None:
        """Finish now. Returns at once; the pipeline ends after it."""
        ...

"""One station of a pipeline."""

from collections.abc import Awaitable, Callable
from typing import Unpack

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from offhook.errors import UsageError
from offhook.kit.events import Events
from offhook.kit.frames import ErrorFrame, Frame, FrameDirection, OutputAudio, Text
from offhook.kit.runtime import PosArgsT, Runtime


class FrameProcessor:
    """Takes the frames it knows, passes on the others.

    Override `process_frame`, `match` on the frame, and hand everything else to `push_frame` (or to
    `super().process_frame`, which does just that)::

        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            match frame:
                case Text(text):
                    await self.push_frame(Text(text.upper()))
                case _:
                    await self.push_frame(frame, direction)

    A push is a plain call into the neighbour: it returns when the frame has been dealt with, there
    is no queue in between, and audio waits meanwhile. So whatever takes longer than a few
    milliseconds belongs in `start_soon`. An exception ends the session as a crash.
    """

    def __init__(self, *, events: Events | None = None) -> None:
        self.events: Events = Events(self, ()) if events is None else events
        self._previous: FrameProcessor | None = None
        self._next: FrameProcessor | None = None
        self._runtime: Runtime | None = None
        self._passed_on: Frame | None = None

    @property
    def name(self) -> str:
        """What logs and errors call it."""
        return type(self).__name__

    @property
    def runtime(self) -> Runtime:
        """The pipeline that runs this processor.

        Raises:
            UsageError: None does.
        """
        if self._runtime is None:
            raise UsageError(f"{self.name} is not part of a running pipeline")
        return self._runtime

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Deal with one frame; this one passes it on."""
        self._passed_on = None  # the same frame may well come by again
        await self.push_frame(frame, direction)
        self._passed_on = frame

    async def push_frame(
        self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM
    ) -> None:
        """Give a frame to the neighbour on that side; returns when it has been dealt with.

        Work that has been cancelled, by the scope of `start_soon`, gets no more speech through.
        """
        if isinstance(frame, OutputAudio | Text):
            # A cancellation reaches a task that was about to go on only after it went on.
            await checkpoint_if_cancelled()
        if frame is self._passed_on:
            raise UsageError(
                f"{self.name} passes on {type(frame).__name__} twice",
                hint="super().process_frame() passes the frame on already.",
            )
        downstream = direction is FrameDirection.DOWNSTREAM
        neighbour = self._next if downstream else self._previous
        if neighbour is None:
            return
        try:
            await neighbour.process_frame(frame, direction)
        except Exception as error:
            if not hasattr(error, "__notes__"):  # the innermost processor is the one at fault
                error.add_note(f"in {neighbour.name}, handling {type(frame).__name__}")
            raise

    async def broadcast(self, frame: Frame) -> None:
        """Give a frame to both neighbours, upstream first."""
        await self.push_frame(frame, FrameDirection.UPSTREAM)
        await self.push_frame(frame, FrameDirection.DOWNSTREAM)

    async def push_error(self, error: str, *, is_fatal: bool = False) -> None:
        """Report that something went wrong; a fatal error ends the session as a crash."""
        await self.push_frame(ErrorFrame(error, is_fatal), FrameDirection.UPSTREAM)

    def start_soon(
        self, work: Callable[[Unpack[PosArgsT]], Awaitable[object]], *args: *PosArgsT
    ) -> anyio.CancelScope:
        """Run something long beside the frames; it ends with the pipeline, or by the scope."""
        return self.runtime.start_soon(work, *args)

    async def aclose(self) -> None:
        """Give back what the processor holds. Called once, last, with little time."""

    def attach(
        self, runtime: Runtime, *, before: "FrameProcessor | None", after: "FrameProcessor | None"
    ) -> None:
        """Take a place in a pipeline that is about to run; the pipeline does this."""
        self._runtime, self._previous, self._next = runtime, before, after
        self.events.attach(runtime)

"""A chain of processors, and the task that runs it once."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Unpack

import anyio
from anyio.abc import TaskGroup

from offhook.errors import UsageError
from offhook.kit.events import Events, HandlerT
from offhook.kit.frames import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    Cancel,
    End,
    ErrorFrame,
    Frame,
    FrameDirection,
    Interruption,
    OutputAudio,
    Start,
    Text,
    UserStartedSpeaking,
    UserStoppedSpeaking,
)
from offhook.kit.processor import FrameProcessor
from offhook.kit.queue import BoundedQueue
from offhook.kit.rtvi import RTVIProcessor
from offhook.kit.runtime import PosArgsT
from offhook.kit.transport import InputTransport, OutputTransport

log = logging.getLogger(__name__)

QUEUE_LIMIT_FRAMES: Final = 1000
CANCEL_TIMEOUT_S: Final = 1.0
HANDLER_GRACE_S: Final = 1.0
CLOSE_TIMEOUT_S: Final = 1.0


class PipelineError(Exception):
    """A processor declared the session lost: it pushed a fatal `ErrorFrame`."""


class Pipeline:
    """Processors in the order in which a user's words become the bot's; pipelines nest."""

    def __init__(self, processors: "Sequence[FrameProcessor | Pipeline]") -> None:
        self.processors: list[FrameProcessor] = []
        for part in processors:
            self.processors.extend(part.processors if isinstance(part, Pipeline) else [part])
        if len(set(map(id, self.processors))) != len(self.processors):
            raise UsageError("a processor has one place in a pipeline")


@dataclass(frozen=True, kw_only=True)
class PipelineParams:
    """How a pipeline behaves.

    Attributes:
        allow_interruptions: The user's voice silences the bot.
        end_timeout_s: How long an `End` may take to pass, with all that is still to be said.
    """

    allow_interruptions: bool = True
    end_timeout_s: float = 60.0


class PipelineTask:
    """One run of a pipeline. Everything that its processors start ends with it.

    Args:
        pipeline: What to run.
        params: How.
        enable_rtvi: Put an `RTVIProcessor` behind the transport's input if the pipeline has none,
            so that a client's `connect()` is answered.
        idle_timeout_secs: End when nobody has spoken or written for this long; None for never.

    Events: `on_pipeline_started(task, frame)`, `on_pipeline_finished(task, frame)`,
    `on_pipeline_error(task, frame)`, `on_idle_timeout(task)`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        params: PipelineParams | None = None,
        enable_rtvi: bool = True,
        idle_timeout_secs: float | None = 300.0,
    ) -> None:
        self.params: PipelineParams = params or PipelineParams()
        self._processors = list(pipeline.processors)
        self._rtvi = _place_rtvi(self._processors, enabled=enable_rtvi)
        inputs = [part for part in self._processors if isinstance(part, InputTransport)]
        outputs = [part for part in self._processors if isinstance(part, OutputTransport)]
        self.has_audio_in: bool = any(part.params.audio_in_enabled for part in inputs)
        self.has_audio_out: bool = any(part.params.audio_out_enabled for part in outputs)
        self._idle_timeout_s = idle_timeout_secs
        names = ("on_pipeline_started", "on_pipeline_finished", "on_pipeline_error")
        self._events = Events(self, (*names, "on_idle_timeout"))
        self._source = _Source(self._came_back)
        self._sink = _Sink(self._came_through)
        self._queue = BoundedQueue[Frame](QUEUE_LIMIT_FRAMES)
        self._group: TaskGroup | None = None
        self._last_frame: Frame | None = None
        self._failure: PipelineError | None = None
        self._over = anyio.Event()
        self._active = anyio.Event()
        self._speakers: set[str] = set()
        self._is_running = False
        self._handlers = 0
        self._handlers_done = anyio.Event()

    @property
    def rtvi(self) -> RTVIProcessor:
        """The pipeline's RTVI processor.

        Raises:
            UsageError: It has none.
        """
        if self._rtvi is None:
            raise UsageError("this pipeline does not speak RTVI", hint="Set enable_rtvi=True.")
        return self._rtvi

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Register the decorated coroutine function for an event of the task."""
        return self._events.event_handler(name)

    # What a bot asks for

    async def queue_frame(self, frame: Frame) -> None:
        """Send a frame down the pipeline after those queued before; waits while the queue is full.

        An `Interruption` and a `Cancel` do not wait for anything. What comes after the end is
        forgotten.
        """
        match frame:
            case _ if self._over.is_set():
                pass
            case Interruption():
                self._queue.discard(_is_speech)
                await self._source.push_frame(frame)
            case Cancel(reason):
                await self.cancel(reason)
            case _:
                await self._queue.put(frame)

    async def queue_frames(self, frames: Iterable[Frame]) -> None:
        """Send frames down the pipeline, in order."""
        for frame in frames:
            await self.queue_frame(frame)

    async def end(self) -> None:
        """Finish once everything that is queued has been said."""
        await self.queue_frame(End())

    async def cancel(self, reason: str = "") -> None:
        """Finish now. Only asks, and returns at once."""
        self.request_cancel(reason)

    def request_cancel(self, reason: str = "") -> None:
        """Do as `cancel`, for callers that cannot await."""
        self._finish(Cancel(reason))

    # What its processors ask for, see Runtime

    def start_soon(
        self, work: Callable[[Unpack[PosArgsT]], Awaitable[object]], *args: *PosArgsT
    ) -> anyio.CancelScope:
        """Run work that lives at most as long as the pipeline. Its exception ends the session."""
        group, scope = self._running_group(), anyio.CancelScope()
        group.start_soon(_within, scope, work, args)
        return scope

    def start_handler(
        self, work: Callable[[Unpack[PosArgsT]], Awaitable[object]], *args: *PosArgsT
    ) -> None:
        """Run an event handler, which is given a moment to finish when the pipeline ends."""
        if not self._is_running:
            return  # what happens after the end is nobody's business any more
        self._handlers += 1
        self._running_group().start_soon(self._count_handler, work, args)

    def report(self, error: ErrorFrame) -> None:
        """Tell the author's handlers and the client. A fatal error ends the session as a crash."""
        log.error("pipeline error", extra={"error": error.error, "fatal": error.is_fatal})
        if not self._is_running:
            return
        self._events.emit("on_pipeline_error", error)
        self._running_group().start_soon(self._source.push_frame, error)
        if error.is_fatal:
            self._failure = self._failure or PipelineError(error.error)
            self._finish(Cancel(error.error))

    # Running

    async def run(self) -> None:
        """Run until an `End` has passed, or somebody cancels.

        Cancelled, it closes the pipeline in bounded time. What a processor raises comes out here.

        Raises:
            PipelineError: A processor reported a fatal error.
        """
        if self._group is not None:
            raise UsageError("a pipeline task runs once", hint="Make a new PipelineTask.")
        try:
            async with anyio.create_task_group() as self._group:
                self._is_running = True
                try:
                    await self._live(self._group)
                finally:
                    await self._say_goodbye()
                    self._is_running = False
                    self._group.cancel_scope.cancel()
        except BaseExceptionGroup as failures:
            raise _first_of(failures) from None
        finally:
            with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                for processor in self._processors:
                    await _logged(processor.aclose)
        if self._failure is not None:
            raise self._failure

    async def _live(self, group: TaskGroup) -> None:
        chain: list[FrameProcessor] = [self._source, *self._processors, self._sink]
        self._events.attach(self)
        for before, processor, after in zip(
            [None, *chain], chain, [*chain[1:], None], strict=False
        ):
            processor.attach(self, before=before, after=after)
        start = Start(allow_interruptions=self.params.allow_interruptions)
        await self._source.push_frame(start)
        self._events.emit("on_pipeline_started", start)
        group.start_soon(self._pump)
        if self._idle_timeout_s is not None:
            group.start_soon(self._watch_idle, self._idle_timeout_s)
        await self._over.wait()

    async def _pump(self) -> None:
        while not isinstance(frame := await self._queue.get(), End):
            await self._source.push_frame(frame)
        with anyio.move_on_after(self.params.end_timeout_s):
            await self._source.push_frame(frame)
            await self._over.wait()
        if not self._over.is_set():
            log.warning("end did not pass in time", extra={"seconds": self.params.end_timeout_s})
            await self.cancel("end timed out")

    async def _say_goodbye(self) -> None:
        """Let processors and handlers finish, each with a deadline, whatever the state is."""
        last = self._last_frame or Cancel("cancelled")
        if not isinstance(last, End):
            with anyio.move_on_after(CANCEL_TIMEOUT_S, shield=True):
                await _logged(self._source.push_frame, last)
        self._events.emit("on_pipeline_finished", last)
        with anyio.move_on_after(HANDLER_GRACE_S, shield=True):
            while self._handlers:
                await self._handlers_done.wait()

    async def _watch_idle(self, timeout_s: float) -> None:
        while True:
            self._active = anyio.Event()
            with anyio.move_on_after(timeout_s) as scope:
                await self._active.wait()
            if scope.cancelled_caught and not self._speakers:
                break
        log.info("pipeline idle", extra={"seconds": timeout_s})
        self._events.emit("on_idle_timeout")
        await self.cancel("idle")

    async def _count_handler(
        self, work: Callable[..., Awaitable[object]], args: tuple[object, ...]
    ) -> None:
        try:
            await work(*args)
        finally:
            self._handlers -= 1
            self._handlers_done.set()
            self._handlers_done = anyio.Event()

    def _came_through(self, frame: Frame) -> None:
        """See what leaves the pipeline at its end."""
        if isinstance(frame, End):
            self._finish(frame)

    def _came_back(self, frame: Frame) -> None:
        """See what arrives at its head, going upstream."""
        match frame:
            case Interruption():
                self._queue.discard(_is_speech)
            case ErrorFrame():
                self.report(frame)
            case UserStartedSpeaking():
                self._speakers.add("user")
            case UserStoppedSpeaking():
                self._speakers.discard("user")
            case BotStartedSpeaking():
                self._speakers.add("bot")
            case BotStoppedSpeaking():
                self._speakers.discard("bot")
            case _:
                pass
        self._active.set()

    def _finish(self, frame: Frame) -> None:
        self._last_frame = self._last_frame or frame
        self._over.set()
        self._queue.discard(lambda _: True)  # nobody must wait for room that never comes

    def _running_group(self) -> TaskGroup:
        if self._group is None:
            raise UsageError("the pipeline does not run yet")
        return self._group


def _place_rtvi(processors: list[FrameProcessor], *, enabled: bool) -> RTVIProcessor | None:
    """Find the RTVI processor, or insert one where it sees all that the client sends."""
    for processor in processors:
        if isinstance(processor, RTVIProcessor):
            return processor
    if not enabled:
        return None
    inputs = [isinstance(processor, InputTransport) for processor in processors]
    rtvi = RTVIProcessor()
    processors.insert(inputs.index(True) + 1 if any(inputs) else 0, rtvi)
    return rtvi


class _Source(FrameProcessor):
    """The head of the chain: what arrives here going upstream has seen every processor."""

    def __init__(self, came_back: Callable[[Frame], None]) -> None:
        super().__init__()
        self._came_back = came_back

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is FrameDirection.UPSTREAM:
            self._came_back(frame)


class _Sink(FrameProcessor):
    """The end of the chain."""

    def __init__(self, came_through: Callable[[Frame], None]) -> None:
        super().__init__()
        self._came_through = came_through

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is FrameDirection.DOWNSTREAM:
            self._came_through(frame)


def _is_speech(frame: Frame) -> bool:
    """Tell whether an interruption makes this frame obsolete."""
    return isinstance(frame, OutputAudio | Text)


async def _within(
    scope: anyio.CancelScope, work: Callable[..., Awaitable[object]], args: tuple[object, ...]
) -> None:
    with scope:
        await work(*args)


async def _logged(step: Callable[..., Awaitable[object]], *args: object) -> None:
    """Take a step of the ending; one that fails must not keep the next from being taken."""
    try:
        await step(*args)
    except Exception:
        log.exception("step of the ending failed")


def _first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Find the exception that a person wants to read."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure

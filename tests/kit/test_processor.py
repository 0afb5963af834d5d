import anyio
import pytest
from tests.kit.fakes import Recorder, StumbleError, running

from offhook.errors import UsageError
from offhook.kit import (
    CustomFrame,
    FrameDirection,
    FrameProcessor,
    Pipeline,
    PipelineTask,
    Start,
    Text,
)


class Shout(FrameProcessor):
    async def process_frame(self, frame, direction):
        match frame:
            case Text(text):
                await self.push_frame(Text(text.upper()))
            case _:
                await super().process_frame(frame, direction)


class Twice(FrameProcessor):
    """As in a framework whose base class does not pass frames on."""

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, Text):
            await self.push_frame(frame, direction)


async def test_a_processor_that_overrides_nothing_is_transparent():
    recorder = Recorder()
    async with running(FrameProcessor(), recorder) as task:
        await task.queue_frames([Text("a"), CustomFrame()])
        await recorder.until(CustomFrame)
    assert recorder.frames[:3] == [Start(), Text("a"), CustomFrame()]


async def test_a_processor_changes_what_it_takes_and_passes_on_the_rest():
    recorder = Recorder()
    async with running(Shout(), recorder) as task:
        await task.queue_frames([Text("a"), CustomFrame(), Text("b")])
        await recorder.until(Text, count=2)
    assert recorder.frames[:4] == [Start(), Text("A"), CustomFrame(), Text("B")]


async def test_a_frame_that_is_passed_on_twice_is_an_error_that_says_how_to_mend_it():
    task = PipelineTask(Pipeline([Twice(), Recorder()]))
    await task.queue_frame(Text("a"))
    with pytest.raises(UsageError, match="Twice passes on Text twice") as caught:
        await task.run()
    assert "super().process_frame()" in caught.value.hint


async def test_the_same_frame_may_be_sent_again():
    recorder, greeting = Recorder(), Text("hello")
    async with running(FrameProcessor(), recorder) as task:
        await task.queue_frames([greeting, greeting])
        await recorder.until(Text, count=2)


async def test_frames_travel_upstream_too():
    recorder, last = Recorder(), FrameProcessor()
    async with running(recorder, last) as task:
        await task.queue_frame(CustomFrame())
        await recorder.until(CustomFrame)
        await last.push_frame(Text("back"), FrameDirection.UPSTREAM)
        await last.broadcast(Text("both"))
    assert recorder.upstream == [Text("back"), Text("both")]


async def test_cancelled_work_says_nothing_more_even_if_it_was_about_to():
    class Speaks(FrameProcessor):
        def __init__(self):
            super().__init__()
            self.go_on = anyio.Event()

        async def speak(self):
            await self.go_on.wait()
            await self.push_frame(Text("stale"))

    speaker, recorder = Speaks(), Recorder()
    async with running(speaker, recorder) as task:
        scope = speaker.start_soon(speaker.speak)
        await anyio.wait_all_tasks_blocked()
        speaker.go_on.set()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        await task.queue_frame(CustomFrame())
        await recorder.until(CustomFrame)
    assert recorder.of(Text) == []


async def test_an_exception_names_the_processor_and_the_frame():
    class Stumbles(FrameProcessor):
        async def process_frame(self, frame, direction):
            if isinstance(frame, Text):
                raise StumbleError("stone")
            await self.push_frame(frame, direction)

    task = PipelineTask(Pipeline([FrameProcessor(), Stumbles(), FrameProcessor()]))
    await task.queue_frame(Text("a"))
    with pytest.raises(StumbleError, match="stone") as caught:
        await task.run()
    assert caught.value.__notes__ == ["in Stumbles, handling Text"]


def test_outside_a_running_pipeline_there_is_no_runtime():
    with pytest.raises(UsageError, match="Shout is not part of a running pipeline"):
        _ = Shout().runtime


async def test_without_a_neighbour_a_frame_goes_nowhere():
    await FrameProcessor().push_frame(Text("a"))

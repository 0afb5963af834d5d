import anyio
import pytest
from tests.kit.fakes import Recorder, StumbleError, running

from offhook.errors import UsageError
from offhook.kit import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    Cancel,
    CustomFrame,
    End,
    ErrorFrame,
    FrameDirection,
    FrameProcessor,
    Interruption,
    OutputAudio,
    Pipeline,
    PipelineError,
    PipelineParams,
    PipelineTask,
    RTVIProcessor,
    Start,
    Text,
)
from offhook.kit.pipeline import QUEUE_LIMIT_FRAMES


class Blocks(FrameProcessor):
    """Lets a text pass when it is told to, and keeps all others waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = anyio.Event()
        self.holding = anyio.Event()

    async def process_frame(self, frame, direction):
        if isinstance(frame, Text):
            self.holding.set()
            await self.opened.wait()
        await self.push_frame(frame, direction)


class Swallows(FrameProcessor):
    def __init__(self, *kinds: type) -> None:
        super().__init__()
        self.kinds = kinds

    async def process_frame(self, frame, direction):
        if not isinstance(frame, self.kinds):
            await self.push_frame(frame, direction)


class Closing(FrameProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.closed = 0

    async def aclose(self):
        self.closed += 1


# The shape of a pipeline


async def test_pipelines_nest():
    first, second, third = Recorder(), Recorder(), Recorder()
    async with running(Pipeline([first, Pipeline([second])]), third) as task:
        await task.queue_frame(Text("a"))
        await third.until(Text)
    assert first.frames[:2] == second.frames[:2] == third.frames[:2] == [Start(), Text("a")]


def test_a_processor_cannot_have_two_places():
    one = Recorder()
    with pytest.raises(UsageError, match="one place"):
        Pipeline([one, Pipeline([one])])


def test_a_task_speaks_rtvi_unless_told_not_to():
    assert isinstance(PipelineTask(Pipeline([])).rtvi, RTVIProcessor)
    own = RTVIProcessor()
    assert PipelineTask(Pipeline([Recorder(), own])).rtvi is own
    with pytest.raises(UsageError, match="RTVI"):
        _ = PipelineTask(Pipeline([]), enable_rtvi=False).rtvi


# Endings


async def test_the_end_comes_after_everything_that_was_queued_before():
    recorder = Recorder()
    task = PipelineTask(Pipeline([recorder]))
    await task.queue_frames([Text("a"), Text("b")])
    await task.end()
    await task.run()
    assert recorder.frames == [Start(), Text("a"), Text("b"), End()]


async def test_a_cancel_comes_before_what_is_queued():
    recorder, blocks = Recorder(), Blocks()
    task = PipelineTask(Pipeline([blocks, recorder]))
    await task.queue_frames([Text("a"), Text("b")])
    async with anyio.create_task_group() as group:
        group.start_soon(task.run)
        await blocks.holding.wait()
        await task.queue_frame(Cancel("enough"))
    assert recorder.frames == [Start(), Cancel("enough")]


async def test_cancelling_the_one_who_awaits_it_closes_the_pipeline():
    recorder, closing = Recorder(), Closing()
    task = PipelineTask(Pipeline([recorder, closing]))
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(task.run)
            await recorder.until(Start)
            scope.cancel()
    assert scope.cancelled_caught
    assert recorder.frames[-1] == Cancel("cancelled")
    assert closing.closed == 1


@pytest.mark.parametrize("how", ["end", "cancel", "crash", "outside"])
async def test_whatever_ends_it_processors_are_closed_once_and_work_is_over(how):
    closing, working, over = Closing(), anyio.Event(), anyio.Event()

    async def work():
        working.set()
        try:
            await anyio.sleep_forever()
        finally:
            over.set()

    async def crash():
        raise StumbleError

    with anyio.CancelScope() as scope:
        try:
            async with running(closing) as task:
                task.start_soon(work)
                await working.wait()
                match how:
                    case "end":
                        await task.end()
                    case "cancel":
                        await task.cancel()
                    case "crash":
                        task.start_soon(crash)
                    case _:
                        scope.cancel()
                await over.wait()
        except* StumbleError:
            assert how == "crash"
    assert over.is_set()
    assert closing.closed == 1


async def test_a_processor_that_swallows_the_end_holds_it_up_for_a_bounded_time(caplog):
    task = PipelineTask(Pipeline([Swallows(End)]), params=PipelineParams(end_timeout_s=0.05))
    await task.end()
    with anyio.fail_after(2):
        await task.run()
    assert "end did not pass in time" in caplog.text


async def test_a_processor_that_hangs_in_its_cancel_holds_it_up_for_a_bounded_time():
    class Hangs(FrameProcessor):
        async def process_frame(self, frame, direction):
            if isinstance(frame, Cancel):
                await anyio.sleep_forever()
            await self.push_frame(frame, direction)

        async def aclose(self):
            await anyio.sleep_forever()

    with anyio.fail_after(4):
        async with running(Hangs()):
            pass


async def test_a_processor_that_fails_in_its_ending_does_not_keep_the_others_from_theirs(caplog):
    class Fails(FrameProcessor):
        async def process_frame(self, frame, direction):
            if isinstance(frame, Cancel):
                raise StumbleError
            await self.push_frame(frame, direction)

        async def aclose(self):
            raise StumbleError

    closing = Closing()
    async with running(Fails(), closing):
        pass
    assert closing.closed == 1
    assert "step of the ending failed" in caplog.text


async def test_an_exception_in_long_work_is_a_crash_too():
    class Works(FrameProcessor):
        async def process_frame(self, frame, direction):
            await self.push_frame(frame, direction)
            if isinstance(frame, Start):
                self.start_soon(self.fail)

        async def fail(self):
            raise LookupError("gone")

    recorder = Recorder()
    with pytest.raises(LookupError, match="gone"):
        await PipelineTask(Pipeline([Works(), recorder])).run()
    assert isinstance(recorder.frames[-1], Cancel)


async def test_a_processor_may_handle_what_its_neighbour_raises():
    class Guards(FrameProcessor):
        async def process_frame(self, frame, direction):
            try:
                await self.push_frame(frame, direction)
            except StumbleError:
                await self.push_error("It slipped.")

    class Slips(FrameProcessor):
        async def process_frame(self, frame, direction):
            if isinstance(frame, Text):
                raise StumbleError
            await self.push_frame(frame, direction)

    before, after = Recorder(), Recorder()
    async with running(before, Guards(), Slips(), after) as task:
        await task.queue_frames([Text("a"), CustomFrame()])
        await after.until(CustomFrame)
    assert ErrorFrame("It slipped.") in before.upstream


async def test_a_task_runs_once():
    task = PipelineTask(Pipeline([]))
    await task.end()
    await task.run()
    with pytest.raises(UsageError, match="runs once"):
        await task.run()


def test_work_needs_a_pipeline_that_runs():
    with pytest.raises(UsageError, match="does not run"):
        PipelineTask(Pipeline([])).start_soon(anyio.sleep, 0)


# Errors


async def test_a_reported_error_reaches_the_author_and_goes_on(caplog):
    recorder, told = Recorder(), []
    async with running(Recorder(), recorder) as task:

        @task.event_handler("on_pipeline_error")
        async def on_pipeline_error(task, error):
            told.append(error)

        await recorder.push_error("It hurts.")
        await recorder.until(ErrorFrame)
        await task.queue_frame(CustomFrame())
        await recorder.until(CustomFrame)
    assert told == [ErrorFrame("It hurts.")]


async def test_a_fatal_error_is_a_crash():
    class Dies(FrameProcessor):
        async def process_frame(self, frame, direction):
            await self.push_frame(frame, direction)
            if isinstance(frame, Text):
                await self.push_error("No more.", is_fatal=True)

    task = PipelineTask(Pipeline([Dies()]))
    await task.queue_frame(Text("a"))
    with pytest.raises(PipelineError, match=r"No more\."):
        await task.run()


# Interruption


async def test_an_interruption_overtakes_and_drops_queued_speech_but_nothing_else():
    recorder, blocks = Recorder(), Blocks()
    async with running(blocks, recorder) as task:
        audio = OutputAudio(bytes(2), 8000)
        await task.queue_frames([Text("held"), audio, Text("b"), CustomFrame(), audio])
        await blocks.holding.wait()
        await task.queue_frame(Interruption())
        assert recorder.frames == [Start(), Interruption()]
        blocks.opened.set()
        await recorder.until(CustomFrame)
        await task.queue_frame(Text("later"))
        await recorder.until(Text, count=2)
    assert recorder.of(Text, OutputAudio) == [Text("held"), Text("later")]


async def test_an_interruption_from_within_drops_queued_speech_too():
    recorder, blocks, last = Recorder(), Blocks(), Recorder()
    async with running(blocks, recorder, last) as task:
        await task.queue_frames([Text("held"), Text("stale"), CustomFrame()])
        await blocks.holding.wait()
        await last.push_frame(Interruption(), FrameDirection.UPSTREAM)
        blocks.opened.set()
        await last.until(CustomFrame)
    assert last.of(Text) == [Text("held")]


async def test_queueing_waits_while_the_queue_is_full():
    blocks, recorder = Blocks(), Recorder()
    async with running(blocks, recorder) as task:
        await task.queue_frame(Text("held"))
        await blocks.holding.wait()
        with anyio.move_on_after(0.05) as scope:
            await task.queue_frames([CustomFrame()] * (QUEUE_LIMIT_FRAMES + 1))
        assert scope.cancelled_caught
        blocks.opened.set()
        await recorder.until(CustomFrame, count=QUEUE_LIMIT_FRAMES)


async def test_nobody_waits_for_a_pipeline_that_is_over():
    blocks = Blocks()
    async with anyio.create_task_group() as group:
        async with running(blocks) as task:
            await task.queue_frame(Text("held"))
            await blocks.holding.wait()
            group.start_soon(task.queue_frames, [CustomFrame()] * 2 * QUEUE_LIMIT_FRAMES)
            await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(1):
            await task.queue_frames([CustomFrame()] * 2 * QUEUE_LIMIT_FRAMES)
            await task.end()


# Idleness


async def test_an_idle_pipeline_ends_itself_and_says_so():
    told, recorder = [], Recorder()
    task = PipelineTask(Pipeline([recorder]), idle_timeout_secs=0.02)

    @task.event_handler("on_idle_timeout")
    async def on_idle_timeout(task):
        told.append("idle")

    with anyio.fail_after(2):
        await task.run()
    assert told == ["idle"]
    assert recorder.frames[-1] == Cancel("idle")


async def test_a_pipeline_is_not_idle_while_somebody_speaks():
    recorder = Recorder()
    task = PipelineTask(Pipeline([recorder]), idle_timeout_secs=0.02)
    async with anyio.create_task_group() as group:
        group.start_soon(task.run)
        await recorder.until(Start)
        await recorder.push_frame(BotStartedSpeaking(), FrameDirection.UPSTREAM)
        await anyio.sleep(0.1)  # five times as long as it may be idle
        assert recorder.of(Cancel) == []
        await recorder.push_frame(BotStoppedSpeaking(), FrameDirection.UPSTREAM)
        await recorder.until(Cancel)


async def test_without_a_limit_it_waits_for_ever():
    recorder = Recorder()
    async with running(recorder, idle_timeout_secs=None) as task:
        await anyio.wait_all_tasks_blocked()
        await task.queue_frame(CustomFrame())
        await recorder.until(CustomFrame)


# Handlers


async def test_handlers_hear_of_start_and_end_and_finish_their_work():
    told = []
    task = PipelineTask(Pipeline([]))

    @task.event_handler("on_pipeline_started")
    async def on_pipeline_started(task, frame):
        told.append(frame)
        await task.end()

    @task.event_handler("on_pipeline_finished")
    async def on_pipeline_finished(task, frame):
        await anyio.sleep(0.01)
        told.append(frame)

    await task.run()
    assert told == [Start(), End()]


async def test_a_handler_that_never_finishes_is_cut_off():
    task = PipelineTask(Pipeline([]))

    @task.event_handler("on_pipeline_started")
    async def on_pipeline_started(task, frame):
        await task.cancel()
        await anyio.sleep_forever()

    with anyio.fail_after(3):
        await task.run()


async def test_what_is_reported_after_the_end_changes_nothing():
    task = PipelineTask(Pipeline([]))
    await task.end()
    await task.run()
    task.report(ErrorFrame("late"))
    task.start_handler(anyio.sleep_forever)

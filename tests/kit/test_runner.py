import os
import signal

import anyio
import pytest
from tests.kit.fakes import Recorder

from offhook.kit import Cancel, Pipeline, PipelineRunner, PipelineTask, Start


async def test_a_runner_runs_a_task_to_its_end():
    recorder = Recorder()
    task = PipelineTask(Pipeline([recorder]))
    await task.end()
    await PipelineRunner().run(task)
    assert isinstance(recorder.frames[0], Start)


async def test_a_runner_lets_a_crash_through():
    class Crashes(Recorder):
        async def process_frame(self, frame, direction):
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        await PipelineRunner().run(PipelineTask(Pipeline([Crashes()])))


async def test_cancelling_a_runner_ends_what_it_runs():
    recorder, runner = Recorder(), PipelineRunner()
    async with anyio.create_task_group() as group:
        group.start_soon(runner.run, PipelineTask(Pipeline([recorder])))
        await recorder.until(Start)
        await runner.cancel()
    assert recorder.frames[-1] == Cancel("runner cancelled")


@pytest.mark.parametrize(
    ("number", "options"),
    [(signal.SIGINT, {"handle_sigint": True}), (signal.SIGTERM, {"handle_sigterm": True})],
)
async def test_a_signal_ends_what_runs_and_is_put_back_as_found(number, options):
    before, recorder = signal.getsignal(number), Recorder()
    async with anyio.create_task_group() as group:
        group.start_soon(PipelineRunner(**options).run, PipelineTask(Pipeline([recorder])))
        await recorder.until(Start)
        os.kill(os.getpid(), number)
    assert recorder.frames[-1] == Cancel("interrupted by a signal")
    assert signal.getsignal(number) is before


async def test_signals_are_left_alone_by_default():
    before, recorder, runner = signal.getsignal(signal.SIGINT), Recorder(), PipelineRunner()
    async with anyio.create_task_group() as group:
        group.start_soon(runner.run, PipelineTask(Pipeline([recorder])))
        await recorder.until(Start)
        assert signal.getsignal(signal.SIGINT) is before
        await runner.cancel()

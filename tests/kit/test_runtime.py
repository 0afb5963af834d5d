import anyio
from tests.kit.fakes import Recorder, running

from offhook.kit.runtime import Runtime


async def test_a_pipeline_task_offers_all_that_a_runtime_has():
    offered = {name for name in vars(Runtime) if not name.startswith("_")}
    async with running(Recorder()) as task:
        assert offered | set(Runtime.__annotations__) <= set(dir(task))


async def test_work_can_be_cancelled_by_its_scope_alone():
    ended = anyio.Event()

    async def work(seconds):
        try:
            await anyio.sleep(seconds)
        finally:
            ended.set()

    recorder = Recorder()
    async with running(recorder):
        scope = recorder.start_soon(work, 60)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        with anyio.fail_after(1):
            await ended.wait()

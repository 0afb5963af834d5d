"""What the dispatcher needs is what the pool gives."""

import pytest
from tests.server.fakes import FakeExit, FakePool, FakeWorker

from offhook.server.handoff import lease
from offhook.server.pool.pool import Pool
from offhook.server.pool.process import WorkerExit, WorkerProcess


def members(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("needed", "given", "fake"),
    [
        (lease.Pool, Pool, FakePool),
        (lease.Lease, WorkerProcess, FakeWorker),
        (lease.WorkerExit, WorkerExit, FakeExit),
    ],
)
def test_the_pool_and_its_fake_give_what_is_needed(needed, given, fake):
    for each in (given, fake):
        source = set(dir(each)) | set(getattr(each, "__annotations__", ()))
        source |= (
            set(each.__init__.__code__.co_names) if hasattr(each.__init__, "__code__") else set()
        )
        assert members(needed) <= source

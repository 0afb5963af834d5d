import anyio
import pytest

from offhook.kit import End, OutputAudio, Text
from offhook.kit.queue import BoundedQueue


def is_text(frame) -> bool:
    return isinstance(frame, Text)


async def test_frames_come_out_in_order():
    queue = BoundedQueue(10)
    for word in "abc":
        await queue.put(Text(word))
    assert [await queue.get() for _ in range(3)] == [Text("a"), Text("b"), Text("c")]


async def test_a_reader_waits_for_a_frame():
    queue = BoundedQueue(10)
    async with anyio.create_task_group() as group:
        group.start_soon(queue.put, Text("a"))
        with anyio.fail_after(1):
            assert await queue.get() == Text("a")


async def test_a_writer_waits_for_room():
    queue = BoundedQueue(2)
    assert await queue.put(Text("a"))
    assert await queue.put(Text("b"))
    async with anyio.create_task_group() as group:
        group.start_soon(queue.put, Text("c"))
        await anyio.wait_all_tasks_blocked()
        assert len(queue) == 2
        assert await queue.get() == Text("a")
        await anyio.wait_all_tasks_blocked()
        assert len(queue) == 2


async def test_a_frame_that_is_heavier_than_the_limit_is_let_in_alone():
    queue = BoundedQueue(1.0, lambda frame: frame.duration_s)
    await queue.put(OutputAudio(bytes(2 * 8000 * 3), 8000))
    assert queue.weight == pytest.approx(3.0)
    with anyio.move_on_after(0.01) as scope:
        await queue.put(OutputAudio(bytes(2), 8000))
    assert scope.cancelled_caught


async def test_discarding_leaves_the_others_in_order():
    queue = BoundedQueue(10)
    for frame in (Text("a"), End(), Text("b")):
        await queue.put(frame)
    queue.discard(is_text)
    assert (len(queue), queue.weight) == (1, 1)
    assert await queue.get() == End()


async def test_discarding_reaches_a_writer_that_waits_for_room():
    queue, results = BoundedQueue(1), {}

    async def put(name, frame):
        results[name] = await queue.put(frame)

    await queue.put(Text("first"))
    async with anyio.create_task_group() as group:
        group.start_soon(put, "stale", Text("stale"))
        await anyio.wait_all_tasks_blocked()
        group.start_soon(put, "end", End())
        await anyio.wait_all_tasks_blocked()
        queue.discard(is_text)
        await anyio.wait_all_tasks_blocked()
    assert results == {"stale": False, "end": True}
    assert await queue.get() == End()


async def test_what_comes_after_a_discard_is_kept():
    queue = BoundedQueue(1)
    await queue.put(Text("old"))
    queue.discard(is_text)
    assert await queue.put(Text("new"))
    assert await queue.get() == Text("new")


async def test_a_cancelled_reader_loses_nothing():
    queue = BoundedQueue(10)
    with anyio.move_on_after(0.01):
        await queue.get()
    await queue.put(Text("a"))
    assert await queue.get() == Text("a")

"""What a bot awaits: runs pipeline tasks, and listens to the keyboard if told to."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from offhook.kit.pipeline import PipelineTask


class PipelineRunner:
    """Runs pipeline tasks, in a process that may want to be interrupted from the keyboard.

    Args:
        handle_sigint: Ctrl-C cancels what runs.
        handle_sigterm: So does SIGTERM. Under the session server leave both to the server.
    """

    def __init__(self, *, handle_sigint: bool = False, handle_sigterm: bool = False) -> None:
        self._signals = [signal.SIGINT] * handle_sigint + [signal.SIGTERM] * handle_sigterm
        self._tasks: list[PipelineTask] = []

    async def run(self, task: PipelineTask) -> None:
        """Run a task to its end. What a processor raises comes out here."""
        self._tasks.append(task)
        try:
            with self._handling_signals():
                await task.run()
        finally:
            self._tasks.remove(task)

    async def cancel(self) -> None:
        """End everything that runs, now."""
        for task in list(self._tasks):
            await task.cancel("runner cancelled")

    @contextmanager
    def _handling_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def cancel_tasks() -> None:
            for task in self._tasks:
                task.request_cancel("interrupted by a signal")

        def handle(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(cancel_tasks)

        before = {number: signal.signal(number, handle) for number in self._signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

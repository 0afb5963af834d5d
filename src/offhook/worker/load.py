"""From a path to the bot's coroutine function, and what goes wrong on the way."""

import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from offhook.errors import UsageError
from offhook.kit.arguments import RunnerArguments

BOT_MODULE: Final = "bot"

Bot = Callable[[RunnerArguments], Awaitable[object]]


class NoBotError(UsageError):
    """The file has no coroutine function named `bot`."""

    code = "no_bot"
    hint = "Write `async def bot(runner_args): ...` in it."


def load_bot(path: Path) -> ModuleType:
    """Import the bot's file as module `bot`, with its folder first on the path, like a script.

    Raises:
        NoBotError: It cannot be imported as a file, or has no `bot`.
        Exception: Whatever the file itself raises.
    """
    sys.path.insert(0, str(path.parent))
    loader = importlib.machinery.SourceFileLoader(BOT_MODULE, str(path))
    spec = importlib.util.spec_from_file_location(BOT_MODULE, path, loader=loader)
    if spec is None:
        raise NoBotError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[BOT_MODULE] = module
    loader.exec_module(module)
    bot_of(module)
    return module


def bot_of(module: ModuleType) -> Bot:
    """Return the module's `bot`.

    Raises:
        NoBotError: There is none that can be awaited.
    """
    bot = getattr(module, "bot", None)
    if not callable(bot):
        raise NoBotError(f"{module.__file__} has no function named 'bot'")
    if not inspect.iscoroutinefunction(inspect.unwrap(bot)):
        raise NoBotError(f"'bot' in {module.__file__} is no coroutine function (async def)")
    return bot  # type: ignore[no-any-return]  # checked as far as it can be


def prewarm_all(module: ModuleType) -> None:
    """Load what can be shared by all workers: models of ours in use, then the author's own."""
    ours = [each for name, each in sorted(sys.modules.items()) if name.startswith("offhook.")]
    for each in (*ours, module):
        function = getattr(each, "prewarm", None)
        if function is not None and getattr(function, "__module__", None) == each.__name__:
            function()


class ThreadWatch:
    """Finds out which module started a thread while it was imported.

    A `sys.meta_path` entry that lets the others find and counts around their execution.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self.culprits: list[str] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find as the other finders do, and watch."""
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._watch(spec)
                return spec
        return None

    def _watch(self, spec: importlib.machinery.ModuleSpec) -> None:
        loader = spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type):
            return  # of what is built in, the loaders are classes that all share; it starts none

        def counted(module: ModuleType) -> None:
            before, named = self._count(), len(self.culprits)
            execute(module)
            if self._count() > before and len(self.culprits) == named:
                self.culprits.append(spec.name)

        loader.exec_module = counted  # type: ignore[union-attr, method-assign]

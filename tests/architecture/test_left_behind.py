"""The checks of `tests/conftest.py` do find what a test leaves behind."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parent.parent / "conftest.py"
SETTLE = "SETTLE_S = 5.0"


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Run a test module under our conftest, with less patience."""
    text = CONFTEST.read_text()
    assert SETTLE in text
    pytester.makeconftest(text.replace(SETTLE, "SETTLE_S = 0.1"))
    pytester.makeini("[pytest]\nanyio_mode = auto\nmarkers = browser\n")

    def run_module(source: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider")

    return run_module


LEAVES_THINGS_BEHIND = """
import asyncio, os, subprocess, time

kept = []

def test_descriptor(): os.open("/dev/null", os.O_RDONLY)
def test_orphan(): subprocess.run(["sh", "-c", "sleep 60 &"], check=True)
async def test_task(): kept.append(asyncio.create_task(asyncio.sleep(60)))
async def test_blocking(): time.sleep(0)
async def test_clean(): await asyncio.sleep(0)
"""


def test_what_a_test_leaves_behind_fails_it(run):
    result = run(LEAVES_THINGS_BEHIND)
    result.stdout.fnmatch_lines_random([
        "*descriptors are left open: *'/dev/null'*",
        "*child processes are left behind: *'sleep 60'*",
        "*tasks are left running: *sleep*",
        "*time.sleep() was called on the event loop*",
    ])
    result.assert_outcomes(passed=4, failed=1, errors=3)


def test_without_chromium_a_browser_test_is_skipped_loudly(run, monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/nowhere")
    monkeypatch.delenv("CI", raising=False)
    result = run("import pytest\n@pytest.mark.browser\ndef test_it(): pass")
    result.stdout.fnmatch_lines(["*BROWSER TESTS WERE SKIPPED*", "1 tests need Chromium*"])
    result.assert_outcomes(skipped=1)


def test_in_ci_a_skipped_browser_test_is_a_failure(run, monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/nowhere")
    monkeypatch.setenv("CI", "true")
    result = run("import pytest\n@pytest.mark.browser\ndef test_it(): pass")
    result.stdout.fnmatch_lines(["*a browser test may not be skipped in CI*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED

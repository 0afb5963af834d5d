"""Servers that the tests of this folder share, since each takes a second to start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.testing.server import OffhookProcess, running

RAW = Path(__file__).parent / "bots" / "raw.py"
STRICT = {
    "--warm": "1",
    "--close-timeout-s": "1",
    "--client-lost-after-s": "2",
    "--max-sessions": "3",
    "--request-ttl-s": "1",
}


@pytest.fixture(scope="package")
def server() -> Iterator[OffhookProcess]:
    """A server as it is without flags."""
    with running(RAW, "--warm", "2") as server:
        yield server


@pytest.fixture(scope="package")
def strict_server() -> Iterator[OffhookProcess]:
    """A server with short times and a low limit."""
    with running(RAW, *(word for flag in STRICT.items() for word in flag)) as server:
        yield server


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[OffhookProcess]:
    """A server for one test alone; its flags are the parameter."""
    with running(RAW, "--warm", "1", *request.param) as server:
        yield server


def with_flags(*flags: str) -> pytest.MarkDecorator:
    """Say with which flags the test's own server runs."""
    return pytest.mark.parametrize("own_server", [flags], indirect=True, ids=["own"])

"""Logs are one line an event, whatever is in them."""

import io
import logging
import sys

import pytest

from offhook.server.config import Config
from offhook.server.observe import LineFormatter, set_up_logging


def record(message: str = "session ended", **fields: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelname": "INFO", **fields})


@pytest.fixture
def loggers_as_found():
    root, ours = logging.getLogger(), logging.getLogger("offhook")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def test_a_line_has_the_event_and_its_fields():
    line = LineFormatter().format(record(session_id="local~a", after_s=1.5, detail=""))
    assert line[12:] == " INFO    session ended  session_id=local~a after_s=1.5 detail=''"


def test_a_line_without_fields_ends_with_the_event():
    assert LineFormatter().format(record()).endswith("session ended")


@pytest.mark.parametrize("evil", ["a\nb", "a\x1b[2J", "a\r", "a\u2028b", "a b"])
def test_what_a_client_sends_cannot_write_lines_of_its_own(evil):
    line = LineFormatter().format(record(evil, detail=evil))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_a_traceback_follows_the_line():
    try:
        raise ZeroDivisionError("x")  # noqa: TRY301 -- to have a traceback
    except ZeroDivisionError:
        line = LineFormatter().format(record(exc_info=sys.exc_info()))
    assert line.splitlines()[-1] == "ZeroDivisionError: x"


def test_a_terminal_gets_colours():
    formatter = LineFormatter(has_colours=True)
    assert "\x1b[31mERROR" in formatter.format(record(levelname="ERROR", a=1))
    assert "\x1b[2m" in formatter.format(record())


@pytest.mark.parametrize(
    ("verbose", "ours", "others"),
    [(0, logging.INFO, logging.WARNING), (1, logging.DEBUG, logging.WARNING), (2, 10, 10)],
)
@pytest.mark.usefixtures("loggers_as_found")
def test_more_is_said_when_asked(verbose, ours, others):
    stream = io.StringIO()
    set_up_logging(Config(verbose=verbose), stream=stream)
    assert logging.getLogger("offhook.server").getEffectiveLevel() == ours
    assert logging.getLogger("uvicorn").getEffectiveLevel() == others
    logging.getLogger("offhook.server").info("session ended", extra={"reason": "idle"})
    assert stream.getvalue().endswith("session ended  reason=idle\n")


@pytest.mark.usefixtures("loggers_as_found")
def test_setting_up_twice_writes_once():
    stream = io.StringIO()
    set_up_logging(Config())
    set_up_logging(Config(), stream=stream)
    logging.getLogger("offhook").info("once")
    assert len(stream.getvalue().splitlines()) == 1

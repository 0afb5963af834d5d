"""Logs: one line an event, its name and its fields, readable in a terminal."""

import logging
import sys
from typing import Final, TextIO

from offhook.server.config import Config

# What every record has; the rest was given as `extra` and is shown.
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
}
_COLOURS: Final = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"


class LineFormatter(logging.Formatter):
    """`12:00:00.123 INFO    session ended  session_id=local~x reason=client_left`."""

    def __init__(self, *, has_colours: bool = False) -> None:
        super().__init__()
        self._has_colours = has_colours

    def format(self, record: logging.LogRecord) -> str:
        """Write one record; a traceback, where there is one, follows on lines of its own."""
        time = f"{self.formatTime(record, '%H:%M:%S')}.{int(record.msecs):03}"
        given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        fields = " ".join(f"{name}={_show(value)}" for name, value in given.items())
        level, message = f"{record.levelname:<8}", _one_line(record.getMessage())
        if self._has_colours:
            time = f"{_DIM}{time}{_PLAIN}"
            level = f"{_COLOURS.get(record.levelname, '')}{level}{_PLAIN}"
            fields = f"{_DIM}{fields}{_PLAIN}" if fields else ""
        line = f"{time} {level}{message}"
        if fields:
            line = f"{line}  {fields}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


def set_up_logging(config: Config, *, stream: TextIO | None = None) -> None:
    """Send the logs of this process to a stream, stderr unless said otherwise."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(has_colours=stream.isatty()))
    ours = logging.getLogger("offhook")
    ours.setLevel(logging.DEBUG if config.verbose else logging.INFO)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if config.verbose > 1 else logging.WARNING)


def _show(value: object) -> str:
    text = _one_line(str(value))
    return repr(text) if not text or " " in text else text


def _one_line(text: str) -> str:
    # Nothing that a client sends may write a line, or move the cursor, of its own.
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)

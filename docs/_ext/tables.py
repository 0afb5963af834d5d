"""Tables of the reference that are made from the code, so that they cannot differ from it.

`{offhook-table} configuration`, `end-reasons` or `timeline` stands for the whole table.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from offhook.protocol import endings
from offhook.protocol.control import Step
from offhook.server.config import ENVIRONMENT_PREFIX, Config

Row = tuple[str, ...]


def flags_of(field: dataclasses.Field[Any]) -> tuple[str, ...]:
    """Return the flags that set a field of `Config`, as the command line names them."""
    return field.metadata.get("flags") or (f"--{field.name.replace('_', '-')}",)


def configuration() -> Iterator[Row]:
    """Go through everything that can be chosen."""
    yield "Flag", "Variable", "Default", "Meaning"
    for field in dataclasses.fields(Config):
        flags = ", ".join(f"`{flag}`" for flag in flags_of(field))
        if metavar := field.metadata.get("metavar"):
            flags += f" *{metavar}*"
        default = "" if field.default in {None, ()} else f"`{field.default}`"
        yield (
            flags,
            f"`{ENVIRONMENT_PREFIX}{field.name.upper()}`",
            default,
            field.metadata.get("help", ""),
        )


def end_reasons() -> Iterator[Row]:
    """Go through the reasons why a session ended."""
    yield "Reason", "What a person is told"
    for reason in endings.EndReason:
        yield f"`{reason.value}`", endings.WORDS[reason]


STEPS: Final = {
    Step.ACCEPTED: "The request that opened the session arrived; `at_s` counts from here.",
    Step.ADMITTED: "Admission said yes.",
    Step.WORKER_LEASED: "A warm process was given to the session.",
    Step.BOT_ENTERED: "The first line of `bot()` ran.",
    Step.ANSWER_SENT: "The answer to the client's offer left.",
    Step.ICE_CONNECTED: "A way between the two sides was found.",
    Step.DTLS_DONE: "The keys were agreed on; media can flow.",
    Step.DATA_CHANNEL_OPEN: "Messages can flow.",
    Step.CLIENT_READY: "The client said that it can play and show what comes (RTVI).",
    Step.BOT_READY: "The bot said that it listens (RTVI).",
    Step.FIRST_AUDIO_IN: "The first sound of the user arrived.",
    Step.READY: "Both sides can hear each other.",
    Step.FIRST_AUDIO_OUT: "The first sound of the bot left.",
    Step.PEER_CONNECTION_RESTARTED: "The client replaced its connection; the session went on.",
    Step.CLOSING: "The end began; the bot may finish politely.",
    Step.ENDED: "The process is gone and the session is over.",
}


def timeline() -> Iterator[Row]:
    """Go through the steps of a session's timeline."""
    yield "Step", "What has happened"
    for step in Step:
        yield f"`{step.value}`", STEPS[step]


TABLES: Final[dict[str, Callable[[], Iterator[Row]]]] = {
    "configuration": configuration,
    "end-reasons": end_reasons,
    "timeline": timeline,
}


class OffhookTable(Directive):
    """The directive; its argument names the table."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Hand the table to the parser of the page, as Markdown."""
        name = directives.choice(self.arguments[0], tuple(TABLES))
        header, *rows = TABLES[name]()
        lines = [header, tuple("---" for _ in header), *rows]
        text = StringList([f"| {' | '.join(line)} |" for line in lines], inspect.getfile(Config))
        place = nodes.container()
        self.state.nested_parse(text, self.content_offset, place)
        return place.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx know the directive."""
    app.add_directive("offhook-table", OffhookTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Docstrings list events as they are called, `on_event(argument)`; Sphinx gets them as it likes."""

import re
from typing import Final

from sphinx.application import Sphinx

EVENT: Final = re.compile(r"^(\s+)`(on_\w+)\((.*)\)`: ")


def turn_events_into_parameters(*event: object) -> None:
    """Rewrite the lines of a docstring in place, before napoleon reads its sections."""
    lines = event[-1]
    assert isinstance(lines, list)  # noqa: S101 -- as Sphinx documents it
    lines[:] = [EVENT.sub(r"\1\2 (\3): ", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx know; earlier than napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", turn_events_into_parameters, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""A field of `Config` is a flag, a variable and a line of the documentation; likewise all enums."""

import dataclasses
import importlib.util
from pathlib import Path

import click
import pytest

from offhook.cli.options import config_options
from offhook.protocol.control import Step
from offhook.server.config import Config

ROOT = Path(__file__).parents[2]
FIELDS = dataclasses.fields(Config)


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "_ext" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_field_says_what_it_is_for(field):
    assert field.metadata["help"].endswith(".")


def test_the_command_line_has_the_flags_and_variables_that_the_reference_names(tables):
    @click.command()
    @config_options
    def command(**_values): ...

    options = {option.name: option for option in command.params}
    assert list(options) == [field.name for field in FIELDS]
    for field in FIELDS:
        assert tuple(options[field.name].opts) == tuple(tables.flags_of(field))
        assert options[field.name].envvar == f"OFFHOOK_{field.name.upper()}"


def test_the_reference_has_a_line_for_every_field(tables):
    _header, *rows = tables.configuration()
    assert [row[1] for row in rows] == [f"`OFFHOOK_{field.name.upper()}`" for field in FIELDS]
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    assert "{offhook-table} configuration" in page


def test_the_reference_has_every_end_reason_with_its_words(tables):
    _header, *rows = tables.end_reasons()
    assert len(rows) == len(set(rows))
    assert all(words.endswith(".") for _reason, words in rows)


def test_the_reference_explains_every_step_of_the_timeline(tables):
    _header, *rows = tables.timeline()
    assert [row[0] for row in rows] == [f"`{step.value}`" for step in Step]

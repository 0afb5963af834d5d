"""Somebody has looked at the licence of every locked package, and the documentation lists it."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "licences.py"


@pytest.fixture(scope="module")
def licences():
    spec = importlib.util.spec_from_file_location("licences", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_licence_is_permissive_or_a_reasoned_exception(licences):
    others = {each.name for each in licences.entries() if not licences.is_permissive(each.licence)}
    assert others == set(licences.EXCEPTIONS)


def test_what_runs_with_offhook_is_permissive_but_for_the_voice_of_the_demo(licences):
    run = [each for each in licences.entries() if each.use == "run"]
    assert [each.name for each in run if not licences.is_permissive(each.licence)] == [
        "espeakng-loader"
    ]


def test_the_documentation_lists_all_of_them(licences):
    assert licences.PAGE.read_text() == licences.page_with(licences.table())


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0", True),
        ("MIT AND GPL-3.0", False),
        ("unknown", False),
        ("Apache-2.0 WITH LLVM-exception", True),
    ],
)
def test_an_expression_is_permissive_if_every_part_can_be(licences, expression, expected):
    assert licences.is_permissive(expression) is expected

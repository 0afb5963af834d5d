"""Errors say what happened, whose fault it was, and what to do."""

import inspect
import re

import pytest

from offhook import errors
from offhook.errors import (
    BadMessageError,
    OffhookError,
    PeerError,
    RefusedError,
    UnknownConnectionError,
    UnknownSessionError,
    UsageError,
    WorkerError,
)

ROOTS = (PeerError, RefusedError, UsageError, WorkerError)
ALL = [each for each in vars(errors).values() if inspect.isclass(each)]


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_an_error_has_a_code_for_programs_and_one_root(error):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert error.__name__.endswith("Error")
    assert error is OffhookError or sum(issubclass(error, root) for root in ROOTS) == 1


def test_codes_differ():
    assert len({error.code for error in ALL}) == len(ALL)


def test_an_error_knows_its_detail_and_the_hint_of_its_class():
    error = UnknownSessionError("No session has this id.")
    assert str(error) == error.detail == "No session has this id."
    assert error.hint == UnknownSessionError.hint
    assert "POST /start" in error.hint


def test_an_instance_may_know_a_better_hint_without_changing_its_class():
    assert UsageError("no", hint="Try yes.").hint == "Try yes."
    assert UsageError("no").hint == ""


def test_a_bad_message_keeps_its_facts():
    error = BadMessageError("control", "no map", hint="Send a map.")
    assert (error.protocol, error.problem, error.hint) == ("control", "no map", "Send a map.")
    assert str(error) == "unusable control message: no map"


def test_an_unknown_connection_is_told_in_the_words_that_clients_know():
    assert str(UnknownConnectionError()) == "Peer connection not found"

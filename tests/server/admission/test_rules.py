"""May a session start, and may a page ask?"""

import pytest

from offhook.errors import RefusedError
from offhook.server.admission import rules


@pytest.mark.parametrize(("live", "limit"), [(0, 1), (99, 100)])
def test_a_session_may_start_while_there_is_a_line(live, limit):
    rules.check_admission(live=live, limit=limit, is_draining=False)


@pytest.mark.parametrize(("live", "limit"), [(1, 1), (100, 100), (101, 100)])
def test_a_full_server_refuses(live, limit):
    with pytest.raises(rules.BusyError) as refusal:
        rules.check_admission(live=live, limit=limit, is_draining=False)
    assert refusal.value.limit == limit
    assert refusal.value.retry_after_s > 0


def test_a_server_that_ends_refuses_although_there_is_a_line():
    with pytest.raises(rules.DrainingError) as refusal:
        rules.check_admission(live=0, limit=1, is_draining=True)
    assert isinstance(refusal.value, RefusedError)
    assert refusal.value.retry_after_s > 0


def test_a_refusal_says_how_many_lines_there_are():
    assert rules.BusyError(limit=1).detail == "The only line is busy."
    assert rules.BusyError(limit=7).detail == "All 7 lines are busy."


def allowed(origin, host="", allowed=(), *, is_local_bind=False):
    return rules.is_allowed_origin(origin, host=host, allowed=allowed, is_local_bind=is_local_bind)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://bots.example:7860", "bots.example:7860"),
        ("https://bots.example", "bots.example"),
        ("https://bots.example", "bots.example:443"),
        ("http://bots.example", "bots.example:80"),
        ("http://BOTS.example", "bots.Example"),
        ("http://[2001:db8::1]:7860", "[2001:db8::1]:7860"),
    ],
)
def test_our_own_pages_may(origin, host):
    assert allowed(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example:7860", "bots.example:7860"),
        ("http://bots.example:7861", "bots.example:7860"),
        ("https://bots.example", "bots.example:80"),
        ("null", "bots.example"),
        ("", ""),
        ("http://", ""),
        ("file://", "bots.example"),
        ("http://bots.example:99999", "bots.example"),
        ("http://[::1", "[::1"),
        ("http://user@bots.example", "user@bots.example"),
        ("http://localhost:3000", "bots.example"),
    ],
)
def test_pages_of_others_may_not(origin, host):
    assert not allowed(origin, host)


def test_pages_that_the_configuration_lists_may():
    assert allowed("https://app.example", "bots.example", ["https://app.example"])
    assert allowed("null", "bots.example", ["*"])
    assert not allowed("https://app.example:444", "bots.example", ["https://app.example"])


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:5173", "http://a.localhost"],
)
def test_on_a_local_address_all_pages_of_this_machine_may(origin):
    assert allowed(origin, "localhost:7860", is_local_bind=True)
    assert not allowed(origin, "bots.example:7860")


def test_a_name_that_was_made_to_point_to_this_machine_does_not_make_a_page_ours():
    rebound = "http://evil.example:7860"
    assert not allowed(rebound, "evil.example:7860", is_local_bind=True)
    assert allowed(rebound, "evil.example:7860", [rebound], is_local_bind=True)


@pytest.mark.parametrize("origin", ["http://evil.example", "http://10.0.0.7", "null"])
def test_on_a_local_address_pages_of_others_may_not(origin):
    assert not allowed(origin, "localhost:7860", is_local_bind=True)


def test_a_refused_page_is_told_what_the_operator_can_do():
    refusal = rules.OriginRefusedError("https://app.example")
    assert refusal.origin == "https://app.example"
    assert "--allowed-origins https://app.example" in refusal.hint

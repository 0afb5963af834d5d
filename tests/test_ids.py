"""Ids cannot be guessed, and a session's says where it lives."""

import re

from offhook.ids import NODE_SEPARATOR, new_connection_id, new_session_id


def test_a_session_id_carries_its_node_and_fits_into_a_url():
    session_id = new_session_id("eu-1")
    node, _, secret = session_id.partition(NODE_SEPARATOR)
    assert node == "eu-1"
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", secret)


def test_a_connection_id_is_opaque():
    assert re.fullmatch(r"pc-[0-9a-f]{32}", new_connection_id())


def test_ids_do_not_repeat():
    assert len({new_session_id("a") for _ in range(1000)}) == 1000
    assert len({new_connection_id() for _ in range(1000)}) == 1000

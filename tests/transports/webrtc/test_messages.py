"""The data channel's messages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.transports.webrtc import messages
from offhook.transports.webrtc.messages import AppMessage, Ignored, Ping, TrackStatus

INCOMING = (AppMessage, Ignored, Ping, TrackStatus)


def test_a_ping_is_no_message_for_the_application():
    assert messages.read("ping: 1767225600000") == Ping()


def test_a_track_status_says_which_track_and_whether_it_is_on():
    text = (
        '{"type":"signalling","message":{"type":"trackStatus","receiver_index":0,"enabled":false}}'
    )
    assert messages.read(text) == TrackStatus(0, is_enabled=False)


def test_a_message_of_any_other_type_is_for_the_application():
    message = {"label": "rtvi-ai", "type": "client-ready", "id": "1"}
    assert messages.read(json.dumps(message)) == AppMessage(message)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "1",
        '"ping"',
        "{}",
        '{"type":1}',
        '{"type":"signalling"}',
        '{"type":"signalling","message":[]}',
        '{"type":"signalling","message":{"type":"trackStatus","receiver_index":"0"}}',
        "[" * 100_000,
    ],
)
def test_malformed_text_is_ignored(text):
    assert isinstance(messages.read(text), Ignored)


@given(st.text())
def test_any_text_means_something_or_is_ignored(text):
    assert isinstance(messages.read(text), INCOMING)


def test_what_the_client_is_told_has_the_shape_that_clients_know():
    assert json.loads(messages.write(messages.peer_left())) == {
        "type": "signalling",
        "message": {"type": "peerLeft"},
    }
    error = messages.fatal_error("The bot crashed.")
    assert error["data"] == {"error": "The bot crashed.", "fatal": True}
    assert messages.is_rtvi(error, "error")
    assert not messages.is_rtvi(messages.peer_left(), "error")


def test_text_is_written_as_it_is():
    assert messages.write({"type": "x", "data": "grüß"}) == '{"type":"x","data":"grüß"}'

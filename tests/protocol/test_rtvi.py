import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import BadMessageError
from offhook.protocol import rtvi
from offhook.protocol.rtvi import ClientMessage, ClientReady, DisconnectBot, SendText


def message(kind: object, data: object = None, **envelope) -> dict:
    whole = {"label": "rtvi-ai", "type": kind, "id": "c1", "data": data, **envelope}
    return {key: value for key, value in whole.items() if value is not None}


def refusal(sent: object) -> dict:
    with pytest.raises(rtvi.BadRTVIMessageError) as caught:
        rtvi.parse(sent)
    return caught.value.reply


# Parsing


@pytest.mark.parametrize(
    ("sent", "event"),
    [
        (
            message("client-ready", {"version": "2.1.0", "about": {"library": "js"}}),
            ClientReady("c1", "2.1.0", {"library": "js"}),
        ),
        (message("client-ready"), ClientReady("c1", None, {})),
        (message("client-ready", {}), ClientReady("c1", None, {})),
        (message("client-ready", {"version": 2}), ClientReady("c1", "2", {})),
        (message("client-ready", {"about": {"platform": "x"}}), ClientReady("c1", None, {})),
        (message("client-ready", {"about": "me"}), ClientReady("c1", None, {})),
        (message("disconnect-bot", {}), DisconnectBot("c1")),
        (message("client-message", {"t": "a", "d": [1]}), ClientMessage("c1", "a", [1])),
        (message("client-message", {"t": "a"}), ClientMessage("c1", "a", None)),
        (message("send-text", {"content": "hi"}), SendText("c1", "hi", True, True)),
        (message("send-text", {"content": "hi", "options": {}}), SendText("c1", "hi", True, True)),
        (
            message("send-text", {"content": "", "options": {"run_immediately": False}}),
            SendText("c1", "", False, True),
        ),
        (
            message("send-text", {"content": "", "options": {"audio_response": False}}),
            SendText("c1", "", True, False),
        ),
    ],
)
def test_a_message_becomes_an_event(sent, event):
    assert rtvi.parse(sent) == event
    assert rtvi.parse(rtvi.decode(json.dumps(sent))) == event


@pytest.mark.parametrize(
    "sent",
    [{}, {"type": "client-ready", "id": "1"}, {"label": "other", "type": "x"}, [], "ping: 1", None],
)
def test_what_is_not_labelled_rtvi_is_none_of_our_business(sent):
    assert rtvi.parse(sent) is None


@pytest.mark.parametrize(
    "sent",
    [
        {"label": "rtvi-ai"},
        {"label": "rtvi-ai", "type": "client-ready"},
        {"label": "rtvi-ai", "id": "1"},
        message("client-ready", id=7),
        message(3),
        message("client-ready", []),
        message("client-ready", "text"),
    ],
)
def test_an_envelope_that_is_wrong_is_answered_with_an_error(sent):
    reply = refusal(sent)
    assert reply["type"] == "error"
    assert "id" not in reply
    assert reply["data"]["fatal"] is False
    assert reply["data"]["error"].startswith("Invalid RTVI transport message:")


@pytest.mark.parametrize("kind", ["append-to-context", "action", "raw-audio", "", "Client-Ready"])
def test_an_unknown_type_is_answered_with_an_error_response(kind):
    assert refusal(message(kind, {})) == {
        "label": "rtvi-ai",
        "type": "error-response",
        "id": "c1",
        "data": {"error": f"Unsupported type {kind}"},
    }


@pytest.mark.parametrize(
    "sent",
    [
        message("client-message", {}),
        message("client-message"),
        message("client-message", {"t": 1}),
        message("send-text", {}),
        message("send-text", {"content": 1}),
        message("send-text", {"content": "x", "options": {"audio_response": "no"}}),
    ],
)
def test_data_that_are_wrong_are_answered_with_an_error_response(sent):
    reply = refusal(sent)
    assert (reply["type"], reply["id"]) == ("error-response", "c1")
    assert reply["data"]["error"].startswith("Invalid message: ")


def test_text_that_is_no_json_is_no_message():
    for text in ("", "ping: 1767225600000", "{", b"\xff", '{"a":1}x'):
        assert rtvi.decode(text) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
types = st.sampled_from(["client-ready", "disconnect-bot", "client-message", "send-text", "x"])
data_members = st.sampled_from(["version", "about", "t", "d", "content", "options"])
envelopes = st.fixed_dictionaries(
    {"label": st.just("rtvi-ai"), "type": types | json_values, "id": st.text() | json_values},
    optional={"data": st.dictionaries(data_members, json_values) | json_values},
)


def answer_to(sent: object) -> None:
    """Read a message as the pipeline does; fail if it leads to anything that is not documented."""
    try:
        event = rtvi.parse(sent)
    except BadMessageError as error:
        reply = error.reply
    else:
        assert event is None or isinstance(event.msg_id, str)
        return
    assert reply["type"] in {"error", "error-response"}
    json.dumps(reply)


@given(st.text() | st.binary() | json_values.map(json.dumps))
def test_any_text_gives_an_event_or_a_documented_error(text):
    answer_to(rtvi.decode(text))


@given(envelopes)
def test_any_envelope_gives_an_event_or_a_documented_error(sent):
    answer_to(sent)


# Versions


@pytest.mark.parametrize(
    ("client", "announced"),
    [
        ("2.2.0", "2.2.0"),
        ("2.0.0", "2.2.0"),
        ("2.99.1", "2.2.0"),
        ("1.0.0", "1.0.0"),
        ("1.4.2",) * 2,
    ],
)
def test_a_compatible_client_is_told_the_version_it_expects(client, announced):
    assert rtvi.negotiate(client) == rtvi.Negotiated(announced, None)


INCOMPATIBLE = "is not compatible with server protocol 2.2.0. Compatibility issues may occur."


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        (
            "3.0.0",
            f"RTVI version 3.0.0 {INCOMPATIBLE}",
        ),
        (
            "0.3.0",
            f"RTVI version 0.3.0 {INCOMPATIBLE}",
        ),
        ("2.1", "Invalid client version format (2.1). Compatibility issues may occur."),
        ("2.1.0-rc1", "Invalid client version format (2.1.0-rc1). Compatibility issues may occur."),
        ("", "Invalid client version format (). Compatibility issues may occur."),
        (None, "Client version unknown. Compatibility issues may occur."),
    ],
)
def test_another_client_is_warned_and_served(client, problem):
    assert rtvi.negotiate(client) == rtvi.Negotiated("2.2.0", problem)


@given(st.text())
def test_any_version_is_served(version):
    assert rtvi.negotiate(version).version in {"2.2.0", version}


# Building


def test_bot_ready_repeats_the_id_and_says_who_we_are():
    built = rtvi.bot_ready(
        "c1", version="2.2.0", library_version="0.1.0", capabilities={"audio_in": True}
    )
    assert built == {
        "label": "rtvi-ai",
        "type": "bot-ready",
        "id": "c1",
        "data": {
            "version": "2.2.0",
            "about": {"library": "offhook", "library_version": "0.1.0"},
            "capabilities": {"audio_in": True},
        },
    }


def test_bot_ready_leaves_out_capabilities_that_nobody_knows():
    built = rtvi.bot_ready("c1", version="2.2.0", library_version="0.1.0", capabilities={})
    assert "capabilities" not in built["data"]


def test_messages_are_built_as_clients_expect_them():
    asked = ClientMessage("c3", "set-voice", {"voice": "b"})
    label = {"label": "rtvi-ai"}
    assert rtvi.error("lost", fatal=True) == {
        **label,
        "type": "error",
        "data": {"error": "lost", "fatal": True},
    }
    assert rtvi.server_response(asked, {"ok": True}) == {
        **label,
        "type": "server-response",
        "id": "c3",
        "data": {"t": "set-voice", "d": {"ok": True}},
    }
    assert rtvi.server_response(asked)["data"] == {"t": "set-voice"}
    assert rtvi.bot_transcription("Hi.") == {
        **label,
        "type": "bot-transcription",
        "data": {"text": "Hi."},
    }
    assert rtvi.server_message({"a": 1}) == {**label, "type": "server-message", "data": {"a": 1}}
    assert rtvi.signal(rtvi.Signal.USER_MUTE_STARTED) == {**label, "type": "user-mute-started"}

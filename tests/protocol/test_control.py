"""Records survive the wire, older and newer releases, and nonsense."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from offhook.errors import BadMessageError
from offhook.protocol.control import (
    AnyMessage,
    BootTemplate,
    Candidates,
    Heartbeat,
    IceCandidate,
    IceServer,
    SessionSettings,
    StartBot,
    decode,
    encode,
)

MESSAGES = get_args(AnyMessage)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_a_message_arrives_as_it_was_sent(kind, data):
    message = data.draw(st.from_type(kind))
    try:
        record = encode(message)
    except OverflowError:
        reject()  # msgpack's integers have 64 bits
    arrived = decode(record)
    assert type(arrived) is kind
    assert encode(arrived) == record


def test_every_message_has_a_tag_of_its_own():
    assert len({kind.__struct_config__.tag for kind in MESSAGES}) == len(MESSAGES)


def test_a_field_that_a_newer_release_adds_is_ignored():
    record = msgspec.msgpack.encode({"t": "heartbeat", "lag_ms": 1.5, "mood": "fine"})
    assert decode(record) == Heartbeat(lag_ms=1.5)


def test_a_field_with_a_default_may_be_missing():
    record = msgspec.msgpack.encode({"t": "start_bot", "session_id": "a~b", "kind": "webrtc"})
    assert decode(record) == StartBot(session_id="a~b", kind="webrtc")


def test_nested_records_keep_their_types():
    servers = (IceServer(urls="stun:a"), IceServer(urls=("turn:b", "turn:c"), username="u"))
    settings = SessionSettings(ice_servers=servers, udp_ports=(40000, 40010))
    message = BootTemplate(
        bot="bot.py", generation=1, start_method="fork", supervisor_pid=1, settings=settings
    )
    assert decode(encode(message)) == message
    candidates = Candidates(candidates=(IceCandidate(candidate="", sdp_mid="0"),))
    assert decode(encode(candidates)) == candidates


@pytest.mark.parametrize(
    "content",
    [{"t": "sing"}, {"lag_ms": 1.5}, {"t": "heartbeat"}, {"t": "heartbeat", "lag_ms": "x"}, [], 7],
    ids=str,
)
def test_what_is_no_message_of_this_release_is_a_bad_message(content):
    with pytest.raises(BadMessageError, match="unusable control message"):
        decode(msgspec.msgpack.encode(content))


@given(record=st.binary(max_size=200))
def test_any_bytes_give_a_message_or_the_documented_error(record):
    try:
        message = decode(record)
    except BadMessageError:
        return
    assert isinstance(message, MESSAGES)

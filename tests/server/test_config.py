"""The configuration refuses what cannot work, and reads what people write."""

import dataclasses

import pytest

from offhook.errors import UsageError
from offhook.protocol.control import IceServer
from offhook.server.config import (
    Config,
    is_loopback,
    parse_ice_servers,
    parse_list,
    parse_udp_ports,
)

LIMITS_S = [field.name for field in dataclasses.fields(Config) if field.name.endswith("_s")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": -1},
        {"port": 65536},
        {"max_sessions": 0},
        {"warm": -1},
        {"host": "0.0.0.0"},  # noqa: S104 -- must be refused
        {"host": "bots.example.org"},
        *({name: value} for name in LIMITS_S for value in (0, -1, float("inf"), float("nan"))),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_and_named(wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}"):
        Config(**wrong)


def test_a_public_address_needs_the_word_insecure():
    assert Config(host="0.0.0.0", insecure=True).insecure  # noqa: S104 -- asked for
    with pytest.raises(UsageError) as caught:
        Config(host="0.0.0.0")  # noqa: S104 -- must be refused
    assert "--insecure" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),  # noqa: S104 -- an address to look at
        ("::", False),
        ("192.168.1.2", False),
        ("example.org", False),
    ],
)
def test_only_addresses_of_this_machine_alone_are_loopback(host, expected):
    assert is_loopback(host) is expected


def test_the_configuration_survives_the_way_to_another_process():
    config = Config(
        port=0,
        transport="webrtc",
        udp_ports=(40000, 40100),
        ice_servers=(IceServer(urls=("stun:a", "stun:b")),),
        allowed_origins=("https://example.org",),
    )
    assert Config.decode(config.encode()) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("stun:a:1", (IceServer(urls="stun:a:1"),)),
        ("stun:a, turn:b", (IceServer(urls="stun:a"), IceServer(urls="turn:b"))),
        (
            '{"urls": "turns:a", "username": "u", "credential": "c"}',
            (IceServer(urls="turns:a", username="u", credential="c"),),
        ),
        (
            '["stun:a", {"urls": ["stun:b", "stuns:c"]}]',
            (IceServer(urls="stun:a"), IceServer(urls=("stun:b", "stuns:c"))),
        ),
    ],
)
def test_ice_servers_are_urls_or_json(text, expected):
    assert parse_ice_servers(text) == expected


@pytest.mark.parametrize(
    "text", ["http://a", "stun", "{", '{"url": "stun:a"}', '{"urls": 1}', "[1]", '[["stun:a"]]']
)
def test_what_is_no_ice_server_is_refused(text):
    with pytest.raises(UsageError, match="--ice-servers"):
        parse_ice_servers(text)


def test_a_range_of_ports_is_read():
    assert parse_udp_ports("40000-40100") == (40000, 40100)
    assert parse_udp_ports("5000-5000") == (5000, 5000)


@pytest.mark.parametrize("text", ["", "40000", "40100-40000", "0-10", "1-65536", "a-b", "1-2-3"])
def test_what_is_no_range_of_ports_is_refused(text):
    with pytest.raises(UsageError, match="--udp-ports"):
        parse_udp_ports(text)


def test_a_list_is_words_between_commas():
    assert parse_list(" a, b ,,c") == ("a", "b", "c")
    assert parse_list("") == ()

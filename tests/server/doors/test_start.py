"""POST /start, as clients of all ages call it."""

import pytest
from tests.server.fakes import opened

from offhook.protocol.control import IceServer
from offhook.server.doors.start import TransportRefusedError, check_transport


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"transport":"webrtc"}', b'{"unknown":1,"body":null}', b'{"transport":null}'],
)
async def test_a_session_is_opened_without_starting_a_bot(content):
    async with opened() as office:
        response = await office.client.post("/start", content=content)
        assert response.status_code == 200
        assert list(response.json()) == ["sessionId"]
        assert response.json()["sessionId"].startswith("local~")
        assert office.pool.leased_for == []


async def test_the_bot_gets_an_empty_object_when_nothing_was_given():
    async with opened() as office:
        for members in ({}, {"body": None}):
            session_id = await office.start(**members)
            await office.offer(f"/sessions/{session_id}/api/offer")
            assert office.pool.last.got[0].body == b"{}"


@pytest.mark.parametrize("body", [{"lang": "en"}, [1, 2], "text", 0, False, 10**25])
async def test_the_bot_gets_what_was_given(body):
    async with opened() as office:
        session_id = await office.start(body=body)
        await office.offer(f"/sessions/{session_id}/api/offer")
        assert office.client.build_request("POST", "/", json=body).content == (
            office.pool.last.got[0].body
        )


async def test_json_needs_no_content_type():
    async with opened() as office:
        response = await office.client.post(
            "/start", content=b'{"transport":"x"}', headers={"content-type": "text/plain"}
        )
    assert response.json()["detail"] == "Unknown transport 'x'."


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "bad_message"),
        (b"\xff", 400, "bad_message"),
        (b"[]", 422, "invalid_request"),
        (b'{"transport":1}', 422, "invalid_request"),
        (b'{"enableDefaultIceServers":"yes"}', 422, "invalid_request"),
        (b'{"body":' + b"[" * 200 + b"]" * 200 + b"}", 400, "bad_message"),
    ],
)
async def test_what_cannot_be_understood_is_refused(content, status, code):
    async with opened() as office:
        response = await office.client.post("/start", content=content)
    assert response.status_code == status
    assert response.json()["code"] == code


@pytest.mark.parametrize(
    ("members", "served", "detail"),
    [
        ({"transport": "pigeon"}, None, "Unknown transport 'pigeon'."),
        (
            {"transport": "daily"},
            "webrtc",
            "Transport 'daily' is not allowed. Server is configured for 'webrtc' only (-t webrtc).",
        ),
        ({"transport": "daily"}, None, "Transport 'daily' is not part of this release."),
        ({"createDailyRoom": True}, None, "Transport 'daily' is not part of this release."),
    ],
)
async def test_a_transport_that_is_not_served_is_refused_with_a_hint(members, served, detail):
    async with opened(transport=served) as office:
        response = await office.client.post("/start", json=members)
    assert response.status_code == 400
    assert response.json() == {
        "code": "transport_refused",
        "detail": detail,
        "hint": "Ask for one of: webrtc.",
    }


def test_a_name_of_any_length_makes_a_short_answer():
    with pytest.raises(TransportRefusedError) as refusal:
        check_transport("x" * 10_000, None)
    assert len(refusal.value.detail) < 100


async def test_a_public_server_is_named_only_when_asked_for():
    async with opened() as office:
        response = await office.client.post("/start", json={"enableDefaultIceServers": True})
    assert response.json()["iceConfig"] == {
        "iceServers": [{"urls": ["stun:stun.l.google.com:19302"]}]
    }


async def test_configured_servers_come_first():
    servers = (IceServer(urls="turn:192.0.2.1", username="u", credential="c"),)
    async with opened(ice_servers=servers) as office:
        for members in ({}, {"enableDefaultIceServers": True}):
            response = await office.client.post("/start", json=members)
            assert response.json()["iceConfig"] == {
                "iceServers": [{"urls": "turn:192.0.2.1", "username": "u", "credential": "c"}]
            }


async def test_a_full_server_says_so_before_a_client_tries():
    async with opened(max_sessions=1) as office:
        await office.offer()
        response = await office.client.post("/start")
    assert response.status_code == 429
    assert response.json()["code"] == "busy"
    assert int(response.headers["retry-after"]) > 0

"""Offers and candidates: what is forwarded, and what is refused before a worker is touched."""

import json

import pytest
from tests.server.fakes import OFFER, opened

from offhook.protocol.control import Candidates, IceCandidate

HOST = "candidate:1 1 udp 2122260223 192.0.2.5 51321 typ host"
CANDIDATE = {"candidate": HOST, "sdp_mid": "0", "sdp_mline_index": 0}
NO_AUDIO = OFFER.replace("m=audio", "m=video")

BAD_OFFERS = {
    "nothing": (b"", 400),
    "no JSON": (b"{", 400),
    "a list": (b"[]", 422),
    "no members": ({}, 422),
    "no sdp": ({"type": "offer"}, 422),
    "no type": ({"sdp": OFFER}, 422),
    "sdp of a wrong type": ({"sdp": 1, "type": "offer"}, 422),
    "type of a wrong type": ({"sdp": OFFER, "type": ["offer"]}, 422),
    "pc_id of a wrong type": ({"sdp": OFFER, "type": "offer", "pc_id": 1}, 422),
    "a long pc_id": ({"sdp": OFFER, "type": "offer", "pc_id": "x" * 1000}, 422),
    "restart_pc of a wrong type": ({"sdp": OFFER, "type": "offer", "restart_pc": "yes"}, 422),
    "an answer": ({"sdp": OFFER, "type": "answer"}, 400),
    "nonsense": ({"sdp": "hello", "type": "offer"}, 400),
    "an empty sdp": ({"sdp": "", "type": "offer"}, 400),
    "no audio": ({"sdp": NO_AUDIO, "type": "offer"}, 400),
    "data of no use": (
        b'{"sdp":"","type":"offer","request_data":%b}' % (b"1" * 10_000),
        400,
    ),
}
PATHS = ["/api/offer", "/sessions/{session_id}/api/offer"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", BAD_OFFERS)
async def test_an_offer_that_cannot_be_answered_costs_no_worker(path, case):
    content, status = BAD_OFFERS[case]
    given = {"content": content} if isinstance(content, bytes) else {"json": content}
    async with opened(max_sessions=1) as office:
        path = path.format(session_id=await office.start())
        response = await office.client.post(path, **given)
        assert response.status_code == status, response.text
        assert isinstance(response.json()["detail"], str)
        assert ("errors" in response.json()) == (status == 422)
        assert office.pool.leased_for == []
        assert (await office.offer(path)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("members", "body"),
    [
        ({"request_data": {"a": 1}}, b'{"a":1}'),
        ({"requestData": {"a": 1}}, b'{"a":1}'),
        ({"request_data": {"a": 1}, "requestData": {"b": 2}}, b'{"a":1}'),
        ({"request_data": None, "requestData": {"b": 2}}, b'{"b":2}'),
        ({"request_data": 0}, b"0"),
        ({"request_data": 10**30}, b"1" + b"0" * 30),
        ({}, b"{}"),
        ({"pc_id": None, "restart_pc": None}, b"{}"),
        ({"pc_id": "", "restart_pc": False}, b"{}"),
    ],
)
async def test_both_spellings_of_request_data_reach_the_bot_on_both_routes(path, members, body):
    async with opened() as office:
        response = await office.offer(path.format(session_id=await office.start()), **members)
        assert response.status_code == 200
        assert office.pool.last.got[0].body == body


async def test_json_needs_no_content_type():
    async with opened() as office:
        request = office.client.build_request(
            "POST", "/api/offer", json={"sdp": OFFER, "type": "offer"}
        )
        request.headers["content-type"] = "text/plain"
        assert (await office.client.send(request)).status_code == 200


async def test_the_direct_route_takes_the_id_of_a_requested_session():
    async with opened() as office:
        session_id = await office.start(body={"a": 1})
        for _ in range(2):
            response = await office.offer(f"/api/offer?session_id={session_id}")
            assert response.status_code == 200
        assert office.pool.leased_for == [session_id]
        assert (await office.offer("/api/offer?session_id=")).status_code == 200


@pytest.mark.parametrize("path", ["/sessions/x/api/offer", "/api/offer?session_id=x"])
async def test_an_unknown_session_is_not_found(path):
    async with opened() as office:
        response = await office.offer(path)
        assert response.status_code == 404
        assert response.json()["code"] == "unknown_session"
        assert office.pool.leased_for == []


async def test_a_client_that_left_before_its_answer_does_not_hold_a_line():
    async with opened() as office:
        messages = [
            {"type": "http.request", "body": office_body(), "more_body": False},
            {"type": "http.disconnect"},
        ]
        sent = []

        async def receive():
            return messages.pop(0) if len(messages) > 1 else messages[0]

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/offer",
            "query_string": b"",
            "headers": [],
        }
        await office.app(scope, receive, send)
        await office.settle()
        (session,) = await office.sessions(ended=1)
        assert session["end_reason"] == "client_left"


def office_body() -> bytes:
    return json.dumps({"sdp": OFFER, "type": "offer"}).encode()


# Candidates


@pytest.mark.parametrize("path", PATHS)
async def test_candidates_reach_the_worker_of_the_connection(path):
    async with opened() as office:
        path = path.format(session_id=await office.start())
        pc_id = (await office.offer(path)).json()["pc_id"]
        await office.offer()
        content = {"pc_id": pc_id, "candidates": [CANDIDATE, {**CANDIDATE, "candidate": ""}]}
        response = await office.client.patch(path, json=content)
        assert response.status_code == 200
        assert response.json() == {"status": "success"}
        first, second = office.pool.workers
        assert first.got[-1] == Candidates(
            candidates=(
                IceCandidate(candidate=HOST, sdp_mid="0", sdp_mline_index=0),
                IceCandidate(candidate="", sdp_mid="0", sdp_mline_index=0),
            )
        )
        assert not second.messages(Candidates)


@pytest.mark.parametrize(
    "candidates",
    [
        [],
        [{"candidate": ""}],
        [{"candidate": HOST, "sdp_mid": None, "sdp_mline_index": None}],
        [{"candidate": HOST, "sdp_mid": "no such", "sdp_mline_index": 200}],
    ],
)
async def test_odd_candidates_are_tolerated(candidates):
    async with opened() as office:
        pc_id = (await office.offer()).json()["pc_id"]
        content = {"pc_id": pc_id, "candidates": candidates}
        assert (await office.client.patch("/api/offer", json=content)).status_code == 200


async def test_candidates_of_an_earlier_connection_are_accepted_and_help_nobody():
    async with opened() as office:
        old = (await office.offer()).json()["pc_id"]
        await office.offer(pc_id=old, restart_pc=True)
        content = {"pc_id": old, "candidates": [CANDIDATE]}
        assert (await office.client.patch("/api/offer", json=content)).status_code == 200
        assert not office.pool.last.messages(Candidates)


BAD_CANDIDATES = {
    "no JSON": (b"{", 400),
    "nothing": ({}, 422),
    "no candidates": ({"pc_id": "x"}, 422),
    "no pc_id": ({"candidates": []}, 422),
    "a null pc_id": ({"pc_id": None, "candidates": []}, 422),
    "candidates of a wrong type": ({"pc_id": "x", "candidates": "y"}, 422),
    "a candidate of a wrong type": ({"pc_id": "x", "candidates": ["y"]}, 422),
    "a candidate without text": ({"pc_id": "x", "candidates": [{"sdp_mid": "0"}]}, 422),
    "nonsense": ({"pc_id": "x", "candidates": [{"candidate": "nonsense"}]}, 400),
    "too many": ({"pc_id": "x", "candidates": [CANDIDATE] * 65}, 400),
    "a huge index": (
        {"pc_id": "x", "candidates": [{**CANDIDATE, "sdp_mline_index": 10**40}]},
        400,
    ),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", BAD_CANDIDATES)
async def test_bad_candidates_are_refused(path, case):
    content, status = BAD_CANDIDATES[case]
    given = {"content": content} if isinstance(content, bytes) else {"json": content}
    async with opened() as office:
        response = await office.client.patch(path.format(session_id="x"), **given)
    assert response.status_code == status, response.text


async def test_candidates_for_nobody_are_not_found():
    content = {"pc_id": "pc-unknown", "candidates": [CANDIDATE]}
    async with opened() as office:
        response = await office.client.patch("/api/offer", json=content)
        assert response.status_code == 404
        assert response.json()["detail"] == "Peer connection not found"
        response = await office.client.patch("/sessions/x/api/offer", json=content)
        assert response.status_code == 404
        assert response.json()["code"] == "unknown_session"


async def test_candidates_for_a_connection_of_another_session_are_not_found():
    async with opened() as office:
        pc_id = (await office.offer()).json()["pc_id"]
        session_id = await office.start()
        await office.offer(f"/sessions/{session_id}/api/offer")
        content = {"pc_id": pc_id, "candidates": [CANDIDATE]}
        response = await office.client.patch(f"/sessions/{session_id}/api/offer", json=content)
        assert response.status_code == 404
        assert response.json()["code"] == "unknown_connection"


async def test_candidates_after_the_end_are_gone():
    async with opened() as office:
        session_id = await office.start()
        path = f"/sessions/{session_id}/api/offer"
        pc_id = (await office.offer(path)).json()["pc_id"]
        office.pool.last.end("client_left")
        await office.settle()
        content = {"pc_id": pc_id, "candidates": [CANDIDATE]}
        assert (await office.client.patch("/api/offer", json=content)).status_code == 404
        gone = await office.client.patch(path, json=content)
        assert gone.status_code == 410
        assert gone.json()["detail"] == "The caller hung up."


async def test_candidates_for_a_worker_that_has_just_gone_come_too_late():
    async with opened() as office:
        pc_id = (await office.offer()).json()["pc_id"]
        office.pool.last.close_channel()
        content = {"pc_id": pc_id, "candidates": [CANDIDATE]}
        response = await office.client.patch("/api/offer", json=content)
        assert response.status_code == 410
        assert response.json()["detail"] == "The session is ending."

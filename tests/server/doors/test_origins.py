"""Pages of others cannot use the server, and allowed ones are told so as browsers demand it."""

import httpx
import pytest
from tests.server.fakes import opened

from offhook.server.doors.origins import Origins

OURS = "http://localhost:7860"
THEIRS = "https://evil.example"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/start"),
        ("POST", "/api/offer"),
        ("PATCH", "/api/offer"),
        ("DELETE", "/sessions/x"),
    ],
)
async def test_what_a_strange_page_would_change_is_refused(method, path):
    async with opened() as office:
        response = await office.client.request(method, path, headers={"origin": THEIRS})
    assert response.status_code == 403
    assert response.json()["code"] == "origin_refused"
    assert f"--allowed-origins {THEIRS}" in response.json()["hint"]
    assert "access-control-allow-origin" not in response.headers


async def test_what_a_strange_page_reads_is_kept_from_it_by_the_browser():
    async with opened() as office:
        response = await office.client.get("/sessions", headers={"origin": THEIRS})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


async def test_who_is_no_browser_passes():
    async with opened() as office:
        assert (await office.client.post("/start")).status_code == 200


@pytest.mark.parametrize("origin", [OURS, "http://127.0.0.1:5173"])
async def test_pages_of_this_machine_pass_and_may_read_the_answer(origin):
    async with opened() as office:
        for path in ("/start", "/nothing"):
            response = await office.client.post(path, headers={"origin": origin})
            assert response.status_code in {200, 404}
            assert response.headers["access-control-allow-origin"] == origin
            assert response.headers["access-control-allow-credentials"] == "true"
            assert "origin" in response.headers["vary"].lower()


async def test_on_a_public_address_only_our_own_and_listed_pages_pass():
    settings = {"host": "192.0.2.1", "insecure": True, "allowed_origins": ("https://app.example",)}
    async with opened(**settings) as office:
        for origin, status in {
            "http://bots.example": 200,
            "https://app.example": 200,
            "http://localhost:5173": 403,
        }.items():
            headers = {"origin": origin, "host": "bots.example"}
            response = await office.client.post("/start", headers=headers)
            assert response.status_code == status, origin


async def test_all_pages_pass_when_all_are_allowed():
    async with opened(allowed_origins=("*",)) as office:
        response = await office.client.post("/start", headers={"origin": THEIRS})
    assert response.headers["access-control-allow-origin"] == THEIRS


def preflight(origin: str, **more: str) -> dict[str, str]:
    return {"origin": origin, "access-control-request-method": "PATCH", **more}


async def test_a_page_that_asks_first_is_told_what_it_may():
    asked = {
        "access-control-request-headers": "content-type, x-mine",
        "access-control-request-private-network": "true",
    }
    async with opened() as office:
        response = await office.client.options("/api/offer", headers=preflight(OURS, **asked))
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == OURS
    assert "PATCH" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == "content-type, x-mine"
    assert response.headers["access-control-allow-private-network"] == "true"
    assert response.headers["vary"] == "access-control-request-headers, origin"


async def test_a_page_that_asks_for_little_is_told_little():
    async with opened() as office:
        response = await office.client.options("/start", headers=preflight(OURS))
    assert response.status_code == 204
    assert "access-control-allow-headers" not in response.headers
    assert "access-control-allow-private-network" not in response.headers


async def test_a_strange_page_that_asks_first_is_refused():
    async with opened() as office:
        response = await office.client.options("/api/offer", headers=preflight(THEIRS))
    assert response.status_code == 403


async def test_options_that_are_no_question_of_a_browser_are_not_answered_for_it():
    async with opened() as office:
        response = await office.client.options("/start", headers={"origin": OURS})
    assert response.status_code == 405


async def test_what_is_not_http_passes():
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope["type"])

    await Origins(app, allowed=(), is_local_bind=True)({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]


async def test_an_origin_cannot_write_headers_of_ours():
    async with opened() as office:
        request = httpx.Request("POST", f"{OURS}/start", headers={"origin": "http://x\ny"})
        response = await office.client.send(request)
    assert response.status_code == 403

"""Any bytes at any door give a documented 4xx answer in JSON, never a 5xx, and cost no worker."""

import json
import re
from urllib.parse import quote, unquote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.fakes import OFFER, Office, opened

BODIES = [
    ("POST", "/start"),
    ("POST", "/api/offer"),
    ("PATCH", "/api/offer"),
    ("POST", "/sessions/x/api/offer"),
    ("PATCH", "/sessions/x/api/offer"),
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
PATHS = [
    "/",
    "/start",
    "/api/offer",
    "/sessions",
    "/sessions/x",
    "/client/",
    "/health/ready",
    "/status",
]
DOCUMENTED = {400, 403, 404, 405, 410, 413, 422, 429}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)
CANDIDATE = st.fixed_dictionaries(
    {}, optional={"candidate": JSON, "sdp_mid": JSON, "sdp_mline_index": JSON}
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "sdp": JSON | st.just(OFFER[:500]) | st.text().map(lambda text: "v=0\r\n" + text),
        "type": JSON | st.just("offer"),
        "pc_id": JSON,
        "restart_pc": JSON,
        "request_data": JSON,
        "requestData": JSON,
        "candidates": JSON | st.lists(CANDIDATE, max_size=3),
        "transport": JSON | st.sampled_from(["webrtc", "daily"]),
        "body": JSON,
        "enableDefaultIceServers": JSON,
        "createDailyRoom": JSON,
    },
)
CONTENT = st.binary(max_size=300) | JSON.map(json.dumps) | MEMBERS.map(json.dumps)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
TARGET = st.binary(max_size=60) | st.lists(
    st.sampled_from([
        *(b"/", b"sessions", b"api", b"offer", b"client", b"%00", b"%2e", b"..", b"?", b"="),
        *(b"ended", b"session_id", b"%ff", b"%f0%9f%98%80", b"log", b"events", b"x" * 3000),
    ]),
    max_size=8,
).map(b"".join)
HEADERS = [
    *(b"origin", b"host", b"content-length", b"access-control-request-method", b"range"),
    *(b"access-control-request-headers", b"transfer-encoding", b"if-none-match", b"cookie"),
    *(b"if-modified-since", b"authorization", b"accept-encoding", b"content-type"),
]
VALUES = [b"http://localhost", b"null", b"http://[", b"*", b"9" * 50, b"-1", b"bytes=0-"]


async def knock(
    office: Office, method: str, target: bytes, headers: list[tuple[bytes, bytes]], content: bytes
) -> httpx.Response:
    """Ask as the HTTP server would; a client library would refuse to."""
    path, _, query = target.partition(b"?")
    messages = [{"type": "http.request", "body": content, "more_body": False}]
    status, body = 0, b""

    async def receive():
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message):
        nonlocal status, body
        status = message.get("status", status)
        body += message.get("body", b"")

    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path.decode("ascii", "replace")),
        "raw_path": path,
        "query_string": query,
        "headers": headers,
        "server": ("localhost", 7860),
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
    }
    await office.app(scope, receive, send)
    request = httpx.Request(method, "http://localhost")
    return httpx.Response(status, content=body, request=request)


def check(response: httpx.Response, office: Office) -> None:
    """Check that an answer is one of the documented kind."""
    assert response.status_code < 400 or response.status_code in DOCUMENTED, response.text
    if response.status_code >= 400 and response.request.method != "HEAD":
        error = response.json()
        assert re.fullmatch("[a-z_]+", error["code"])
        assert isinstance(error["detail"], str)
        assert error["detail"]
        assert "hint" in error
        assert ("errors" in error) == (response.status_code == 422)
    assert office.pool.leased_for == []


@pytest.mark.parametrize(("method", "path"), BODIES)
@given(content=CONTENT, content_type=HEADER)
@settings(max_examples=60)
async def test_any_body_is_understood_or_refused(method, path, content, content_type):
    async with opened() as office:
        headers = {"content-type": content_type}
        check(await office.client.request(method, path, content=content, headers=headers), office)


@given(method=st.sampled_from(METHODS), target=TARGET, content=st.binary(max_size=50))
@settings(max_examples=200)
async def test_any_target_is_found_or_not(method, target, content):
    async with opened() as office:
        check(await knock(office, method, b"/" + target, [], content), office)


@given(
    method=st.sampled_from(METHODS),
    path=st.sampled_from(PATHS),
    headers=st.lists(
        st.tuples(st.sampled_from(HEADERS), st.sampled_from(VALUES) | st.binary(max_size=40)),
        max_size=6,
    ),
)
@settings(max_examples=200)
async def test_any_header_is_borne(method, path, headers):
    async with opened() as office:
        check(await knock(office, method, path.encode(), headers, b""), office)


@given(session_id=st.text(min_size=1, max_size=40), ended=st.text(max_size=20))
@settings(max_examples=60)
async def test_any_id_and_any_number_is_found_or_refused(session_id, ended):
    path = f"/sessions/{quote(session_id, safe='')}"
    async with opened() as office:
        for method in ("GET", "DELETE"):
            check(await office.client.request(method, path), office)
        check(await office.client.get("/sessions", params={"ended": ended}), office)
        check(
            await office.client.post(
                "/api/offer",
                params={"session_id": session_id},
                json={"sdp": OFFER, "type": "offer"},
            ),
            office,
        )

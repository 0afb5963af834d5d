"""What is no good, sent over real HTTP: refused in JSON, and no worker is spent on it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.bench.process import Family

from offhook.testing.server import OffhookProcess

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

OFFERS = Path(__file__).parents[1] / "wire" / "sdp" / "valid"
SDP = (OFFERS / "chromium-client.sdp").read_text()
AUDIO_ONLY = (OFFERS / "bare-telephone.sdp").read_text()
FORGED_ID = "local~AAAAAAAAAAAAAAAAAAAAAAAA"
LONG = 10 * 1024 * 1024


def offer(sdp: object = SDP, **more: object) -> dict[str, object]:
    return {"sdp": sdp, "type": "offer", **more}


def without(pattern: str) -> str:
    """An offer that lacks the lines of this kind."""
    text = "".join(line for line in SDP.splitlines(True) if not re.match(pattern, line))
    assert text != SDP
    return text


def with_line(pattern: str, line: str) -> str:
    text = re.sub(rf"(?m)^{pattern}.*$", line, SDP)
    assert text != SDP
    return text


BODIES: dict[str, object] = {
    "nothing": b"",
    "malformed JSON": b'{"sdp": ',
    "not UTF-8": b'{"sdp": "\xff\xfe"}',
    "a number": 7,
    "a list": [],
    "null": None,
    "no members": {},
    "no sdp": {"type": "offer"},
    "no type": {"sdp": SDP},
    "sdp of a wrong type": offer(sdp=[SDP]),
    "type of a wrong type": {"sdp": SDP, "type": 1},
    "an answer": {"sdp": SDP, "type": "answer"},
    "pc_id of a wrong type": offer(pc_id={}),
    "restart_pc of a wrong type": offer(restart_pc="maybe"),
    "deep nesting": b"[" * 100_000,
    "10 MB": b"x" * LONG,
    "10 MB of JSON": offer(sdp="v=0\r\n" + "a=x\r\n" * (LONG // 5)),
    "an empty sdp": offer(sdp=""),
    "no sdp at all": offer(sdp="hello"),
    "half an sdp": offer(sdp=SDP[: len(SDP) // 3]),
    "no audio": offer(sdp=SDP.replace("m=audio", "m=video")),
    "rejected audio": offer(sdp=re.sub(r"m=audio \d+", "m=audio 0", SDP)),
    "no ufrag": offer(sdp=without("a=ice-ufrag")),
    "no password": offer(sdp=without("a=ice-pwd")),
    "no fingerprint": offer(sdp=without("a=fingerprint")),
    "a short fingerprint": offer(sdp=with_line("a=fingerprint", "a=fingerprint:sha-256 AA:BB")),
    "an unknown hash": offer(sdp=with_line("a=fingerprint", "a=fingerprint:md-99 AA:BB")),
    "no codec of ours": offer(sdp=with_line("a=rtpmap", "a=rtpmap:111 speex/8000")),
    "a setup of its own": offer(sdp=with_line("a=setup", "a=setup:maybe")),
    "a mid twice": offer(sdp=with_line("a=mid", "a=mid:0")),
    "a port that is none": offer(sdp=re.sub(r"m=audio \d+", "m=audio lots", SDP)),
    "a null character": offer(sdp=SDP.replace("a=mid:0", "a=mid:\0")),
}
OTHERS: dict[str, tuple[str, str, object]] = {
    "an unknown session's offer": ("POST", f"/sessions/{FORGED_ID}/api/offer", offer()),
    "an unknown session's candidates": (
        "PATCH",
        f"/sessions/{FORGED_ID}/api/offer",
        {"pc_id": "x", "candidates": []},
    ),
    "an unknown session": ("GET", f"/sessions/{FORGED_ID}", None),
    "an unknown session's log": ("GET", f"/sessions/{FORGED_ID}/log", None),
    "an unknown session's end": ("DELETE", f"/sessions/{FORGED_ID}", None),
    "candidates for an unknown pc_id": ("PATCH", "/api/offer", {"pc_id": "x", "candidates": []}),
    "candidates of a wrong type": ("PATCH", "/api/offer", {"pc_id": "x", "candidates": "y"}),
    "a start with a list": ("POST", "/start", []),
    "a start with malformed JSON": ("POST", "/start", b"{"),
    "a start for an unknown transport": ("POST", "/start", {"transport": "pigeon"}),
    "a start of 10 MB": ("POST", "/start", {"body": "x" * LONG}),
    "a method that is none": ("PUT", "/api/offer", offer()),
    "a door that is none": ("POST", "/nowhere", {}),
}
CASES = {f"offer: {name}": ("POST", "/api/offer", body) for name, body in BODIES.items()} | OTHERS


@pytest.fixture(scope="module", autouse=True)
def warm(server: OffhookProcess) -> None:
    """Wait until the tests before are over."""
    Family(server).wait_until_warm(2)


@pytest.fixture
def client(server: OffhookProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as client:
        yield client


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_json_and_costs_no_worker(
    server: OffhookProcess, client: httpx.Client, name: str
) -> None:
    method, path, body = CASES[name]
    family = Family(server)
    before = family.workers()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    response = client.request(method, path, content=content, headers=headers)
    assert 400 <= response.status_code < 500, response.text
    answer = response.json()
    assert re.fullmatch("[a-z_]+", answer["code"])
    assert isinstance(answer["detail"], str)
    assert isinstance(answer["hint"], str)
    assert len(response.content) < 4096
    assert family.workers() == before
    assert client.get("/sessions").json() == {"sessions": []}


def test_an_offer_of_a_started_session_that_is_no_good_can_be_made_good(
    server: OffhookProcess, client: httpx.Client
) -> None:
    session_id = client.post("/start", json={}).json()["sessionId"]
    path = f"/sessions/{session_id}/api/offer"
    before = Family(server).workers()
    for name in ("no audio", "no sdp", "half an sdp"):
        assert client.post(path, json=BODIES[name]).status_code < 500
    assert Family(server).workers() == before
    assert client.post(path, json=offer(AUDIO_ONLY)).status_code == 200
    assert client.delete(f"/sessions/{session_id}").status_code == 200

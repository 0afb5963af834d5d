"""Bodies are bounded in length, time and depth, and are JSON whatever they are called."""

import json

import anyio
import msgspec
import pytest
from starlette.requests import Request
from tests.server.fakes import opened

from offhook.errors import BadMessageError
from offhook.server.doors import body
from offhook.server.doors.errors import InvalidRequestError, SlowRequestError

MIB = 1024 * 1024


class Shape(msgspec.Struct):
    name: str
    inner: dict[str, int] = {}
    data: msgspec.Raw = msgspec.Raw()


def test_members_that_are_not_known_are_ignored():
    assert body.parse(b'{"name":"a","other":[1,2]}', Shape).name == "a"


@pytest.mark.parametrize(
    ("text", "member", "problem"),
    [
        (b"{}", "", "Object missing required field `name`."),
        (b'{"name":1}', "name", "Expected `str`, got `int`."),
        (b'{"name":"a","inner":{"b":"c"}}', "inner[...]", "Expected `int`, got `str`."),
        (b"[]", "", "Expected `object`, got `array`."),
        (b"null", "", "Expected `object`, got `null`."),
    ],
)
def test_json_of_another_shape_is_explained(text, member, problem):
    with pytest.raises(InvalidRequestError) as refusal:
        body.parse(text, Shape)
    assert refusal.value.member == member
    assert refusal.value.detail == problem


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"hello",
        b'{"name":"a"} x',
        b'{"name":"\xff"}',
        b'{"name":"a","data":"\xff"}',
        b'{"name":"\\ud800"}',
        b'{"name":"a","data":NaN}',
        b'{"name":"a","data":' + b"[" * 100_000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(BadMessageError):
        body.parse(text, Shape)


@pytest.mark.parametrize("text", [b"", b"null", b" null "])
def test_no_data_is_none(text):
    assert body.application_data(msgspec.Raw(text)) is None


@pytest.mark.parametrize("text", [b"{}", b"[]", b"0", b'"x"', b"false", b"1" * 30, b"[[1]]"])
def test_data_is_passed_on_as_it_is(text):
    assert body.application_data(msgspec.Raw(text)) == text


@pytest.mark.parametrize(
    "text", [b"1" * 10_000, b"1e999", b"[" * 101 + b"]" * 101, b'{"a":' * 101 + b"1" + b"}" * 101]
)
def test_data_that_a_worker_could_not_read_is_refused(text):
    with pytest.raises(BadMessageError):
        body.application_data(msgspec.Raw(text))


def test_brackets_in_strings_and_in_a_row_are_not_deep():
    flat = json.dumps(["[" * 500, '"]' * 500, "\\", [[]] * 500, "{"]).encode()
    assert body.application_data(msgspec.Raw(flat)) == flat
    assert body.application_data(msgspec.Raw(b"[" * 100 + b"]" * 100)) is not None


def streamed(size: int, piece: int = 64 * 1024):
    async def pieces():
        for start in range(0, size, piece):
            yield b" " * min(piece, size - start)

    return pieces()


@pytest.mark.parametrize("path", ["/start", "/api/offer", "/sessions/x/api/offer"])
async def test_a_body_that_says_it_is_too_long_is_not_read(path):
    async with opened() as office:
        response = await office.client.post(path, content=b" " * (10 * MIB))
    assert response.status_code == 413
    assert response.json()["code"] == "request_too_large"


async def test_a_body_that_proves_too_long_is_refused_without_reading_on():
    read = 0

    async def endless():
        nonlocal read
        while True:
            read += 1
            yield b" " * 64 * 1024

    async with opened() as office:
        response = await office.client.post("/start", content=endless())
    assert response.status_code == 413
    assert read <= 18


async def test_a_body_as_long_as_allowed_is_read():
    padding = b" " * (MIB - 2)
    async with opened() as office:
        assert (
            await office.client.post("/start", content=b"{" + padding + b"}")
        ).status_code == 200
        response = await office.client.post("/start", content=streamed(MIB + 1))
        assert response.status_code == 413


async def test_an_announcement_that_is_no_number_counts_as_none():
    async with opened() as office:
        response = await office.client.post("/start", headers={"content-length": "many"})
    assert response.status_code == 200


async def test_what_is_not_http_passes():
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope["type"])

    await body.BodyLimit(app)({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]


async def test_a_body_that_does_not_arrive_is_given_up(monkeypatch):
    monkeypatch.setattr(body, "TIMEOUT_S", 0.01)

    async def receive():
        await anyio.sleep_forever()

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(SlowRequestError, match="longer than"):
        await body.read(request)


async def test_a_client_that_goes_away_is_no_bug():
    async def receive():
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(body.DisconnectedError):
        await body.read(request)

"""Every error is JSON, in words."""

import httpx
import pytest
from starlette.requests import Request
from tests.server.fakes import opened

from offhook import errors as tree
from offhook.server.admission.rules import BusyError
from offhook.server.doors import errors
from offhook.server.handoff.signaling import AnswerTimeoutError
from offhook.server.pool.pool import PoolExhaustedError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (tree.BadOfferError("x"), 400),
        (tree.BadMessageError("JSON", "x"), 400),
        (errors.InvalidRequestError("x", member=""), 422),
        (errors.RequestTooLargeError(1), 413),
        (errors.SlowRequestError("x"), 408),
        (tree.UnknownSessionError("x"), 404),
        (tree.UnknownConnectionError(), 404),
        (tree.SessionEndedError("x"), 410),
        (BusyError(limit=1), 429),
        (tree.RefusedError("x"), 403),
        (tree.WorkerError("x"), 502),
        (PoolExhaustedError(waited_s=1), 503),
        (AnswerTimeoutError(1), 504),
        (tree.UsageError("x"), 500),
    ],
)
def test_an_error_has_the_status_of_its_class(error, status):
    assert errors.status_of(error) == status
    assert errors.respond(error).status_code == status


def test_an_invalid_member_is_named():
    response = errors.respond(errors.InvalidRequestError("Wrong.", member="inner.name"))
    assert response.body == (
        b'{"code":"invalid_request","detail":"Wrong.",'
        b'"hint":"The errors say which member and why.",'
        b'"errors":[{"loc":["body","inner","name"],"msg":"Wrong."}]}'
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/start/", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/openapi.json", 404, "not_found"),
        ("GET", "/start", 405, "method_not_allowed"),
        ("PUT", "/api/offer", 405, "method_not_allowed"),
        ("DELETE", "/sessions", 405, "method_not_allowed"),
        ("POST", "/client/", 405, "method_not_allowed"),
        ("GET", "/client/nothing.js", 404, "not_found"),
    ],
)
async def test_what_the_framework_refuses_is_json_too(method, path, status, code):
    async with opened() as office:
        response = await office.client.request(method, path)
    assert response.status_code == status
    assert response.json()["code"] == code
    assert isinstance(response.json()["detail"], str)
    assert response.json()["hint"]
    if status == 405 and path != "/client/":
        assert response.headers["allow"]


async def test_a_bug_is_json_and_tells_nothing_of_itself(caplog):
    async with opened() as office:

        @office.app.get("/broken")
        async def broken():
            raise ZeroDivisionError("secret")

        # Mounts match first come, first served: the new route is behind none.
        response = await office.client.get("/broken", headers={"origin": "http://localhost"})
    assert response.status_code == 500
    assert response.json()["code"] == "internal"
    assert "secret" not in response.text
    assert response.headers["access-control-allow-origin"] == "http://localhost"
    assert "request failed" in caplog.text


@pytest.mark.parametrize("error", [ZeroDivisionError(), tree.BadOfferError("x")])
async def test_what_breaks_in_the_middle_of_an_answer_is_not_answered_twice(error):
    async def breaks(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    transport = httpx.ASGITransport(app=errors.LastResort(breaks))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with pytest.raises(type(error)):
            await client.get("/")


async def test_what_we_raise_outside_of_a_route_is_translated_too():
    async def raises(_scope, _receive, _send):
        raise tree.BadOfferError("x")

    transport = httpx.ASGITransport(app=errors.LastResort(raises))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/")).json()["code"] == "bad_offer"


async def test_handlers_pass_on_what_is_not_theirs():
    request = Request({"type": "http"})
    for handler in (errors.respond_to_offhook_error, errors.respond_to_http_error):
        with pytest.raises(ZeroDivisionError):
            await handler(request, ZeroDivisionError())

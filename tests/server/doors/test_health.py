"""What orchestrators, load balancers and clients ask."""

import pytest
from tests.server.fakes import FakePool, opened


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_process_that_turns_is_live(method):
    async with opened(FakePool(is_up=False)) as office:
        assert (await office.client.request(method, "/health/live")).status_code == 200


async def test_a_server_is_ready_when_its_pool_is():
    async with opened() as office:
        assert (await office.client.get("/health/ready")).json() == {"status": "ready"}
        office.pool.is_up = False
        response = await office.client.get("/health/ready")
        assert response.status_code == 503
        assert response.json()["code"] == "not_ready"
        assert response.headers["retry-after"]


async def test_a_server_that_ends_is_not_ready():
    async with opened() as office:
        await office.app.state.dispatcher.aclose(grace_s=0.1)
        response = await office.client.get("/health/ready")
        assert response.status_code == 503
        assert response.json()["code"] == "draining"
        assert (await office.client.get("/health/live")).status_code == 200


@pytest.mark.parametrize("transport", [None, "webrtc"])
async def test_clients_learn_what_is_served(transport):
    async with opened(transport=transport) as office:
        response = await office.client.get("/status")
    assert response.json() == {"status": "ready", "transports": ["webrtc"]}

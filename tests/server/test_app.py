"""The composition root puts the parts together."""

import subprocess
import sys

from tests.server.fakes import FakeClock, FakePool, opened

from offhook.server.app import create_app
from offhook.server.config import Config

ROUTES = {
    ("POST", "/start"),
    ("POST", "/api/offer"),
    ("PATCH", "/api/offer"),
    ("POST", "/sessions/{session_id}/api/offer"),
    ("PATCH", "/sessions/{session_id}/api/offer"),
    ("GET", "/sessions"),
    ("GET", "/sessions/{session_id}"),
    ("DELETE", "/sessions/{session_id}"),
    ("GET", "/sessions/{session_id}/log"),
    ("GET", "/sessions/{session_id}/events"),
    ("GET", "/status"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/"),
    ("GET", "/client"),
    ("GET", "/client/"),
}


async def test_every_door_is_open():
    async with opened() as office:
        for method, path in ROUTES:
            response = await office.client.request(method, path.format(session_id="x"))
            assert response.status_code != 405, (method, path)
            if response.status_code == 404:
                assert response.json()["code"] == "unknown_session", (method, path)


def test_applications_share_nothing():
    one, other = (create_app(Config(), clock=FakeClock(), pool=FakePool()) for _ in range(2))
    assert one.state.dispatcher is not other.state.dispatcher


def test_building_an_application_imports_no_media():
    listing = "import sys, offhook.server.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"aiortc", "av", "numpy", "offhook.kit", "offhook.transports"} & set(loaded)

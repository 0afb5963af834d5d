"""The page and the way to it."""

import pytest
from starlette.exceptions import HTTPException
from tests.server.fakes import opened

from offhook.server.doors.client import Page


@pytest.mark.parametrize("path", ["/", "/client"])
async def test_all_ways_lead_to_the_page(path):
    async with opened() as office:
        response = await office.client.get(path)
    assert response.status_code == 307
    assert response.headers["location"] == "/client/"


async def test_the_page_keeps_everything_else_out():
    async with opened() as office:
        response = await office.client.get("/client/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["permissions-policy"].startswith("microphone=(self)")
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("wanted", ["bytes=0-3", "bytes=999999999-", "nonsense"])
async def test_a_file_is_served_whole(wanted):
    async with opened() as office:
        response = await office.client.get("/client/", headers={"range": wanted})
    assert response.status_code == 200
    assert response.text.endswith("</html>\n")


@pytest.mark.parametrize(
    "path",
    ["/client/../../app.py", "/client/%2e%2e/%2e%2e/app.py", "/client/%00", "/client//etc/passwd"],
)
async def test_nothing_but_the_page_is_served(path):
    async with opened() as office:
        response = await office.client.get(path)
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


async def test_a_server_without_the_page_says_so_in_json(tmp_path):
    page = Page(directory=tmp_path / "nothing", html=True, check_dir=False)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(HTTPException) as refusal:
        await page.get_response("index.html", scope)
    assert refusal.value.status_code == 404

"""Doors find the dispatcher of their own application."""

from starlette.requests import Request
from tests.server.fakes import opened

from offhook.server.doors.asking import dispatcher_of


async def test_each_application_has_its_own_dispatcher():
    async with opened() as one, opened() as other:
        for office in (one, other):
            request = Request({"type": "http", "app": office.app})
            assert await dispatcher_of(request) is office.app.state.dispatcher
        assert one.app.state.dispatcher is not other.app.state.dispatcher

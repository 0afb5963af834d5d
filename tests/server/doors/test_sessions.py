"""Who is talking: list, look at, watch and end."""

import json
from signal import SIGSEGV

import anyio
import httpx
import pytest
from tests.server.fakes import FakePool, mute, opened

from offhook.server.doors import sessions as door


def parse(text: str) -> list[tuple[str, dict[str, object]]]:
    """Read an event stream."""
    events = []
    for block in text.split("\n\n"):
        if block and not block.startswith(":"):
            kind, data = block.split("\n")
            events.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


async def test_live_and_ended_sessions_are_listed_apart():
    async with opened() as office:
        for _ in range(3):
            await office.offer()
        live, gone = office.pool.leased_for[:2], office.pool.leased_for[2]
        office.pool.last.end("bot_finished")
        await office.settle()
        assert [session["id"] for session in await office.sessions()] == live
        (ended,) = await office.sessions(ended=5)
        assert ended["id"] == gone
        assert ended["state"] == "ended"
        assert ended["end_reason"] == "bot_finished"
        assert await office.sessions(ended=0) == []


@pytest.mark.parametrize("ended", ["-1", "x", "1.5", "501", "", "9" * 10_000, "¹"])
async def test_a_number_that_is_none_is_refused(ended):
    async with opened() as office:
        response = await office.client.get("/sessions", params={"ended": ended})
    assert response.status_code == 422
    assert response.json()["errors"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sessions/x"),
        ("DELETE", "/sessions/x"),
        ("GET", "/sessions/x/log"),
        ("GET", "/sessions/x/events"),
    ],
)
async def test_an_unknown_session_is_not_found(method, path):
    async with opened() as office:
        response = await office.client.request(method, path)
    assert response.status_code == 404
    assert response.json()["code"] == "unknown_session"


async def test_a_session_is_ended_when_its_process_has_gone():
    async with opened(FakePool(), close_timeout_s=0.05) as office:
        await office.offer()
        (session_id,) = office.pool.leased_for
        office.pool.last.behave = mute
        response = await office.client.delete(f"/sessions/{session_id}")
        assert response.status_code == 200
        assert response.json() == {"status": "terminated", "session_id": session_id}
        assert office.pool.last.killed == 1
        assert (await office.show(session_id))["end_reason"] == "stopped_by_operator"


async def test_a_session_that_waits_for_its_offer_can_be_ended():
    async with opened() as office:
        session_id = await office.start()
        assert (await office.client.delete(f"/sessions/{session_id}")).status_code == 200
        assert (await office.client.get(f"/sessions/{session_id}")).status_code == 404


async def test_an_ended_session_cannot_be_ended_again():
    async with opened() as office:
        await office.offer()
        (session_id,) = office.pool.leased_for
        await office.client.delete(f"/sessions/{session_id}")
        response = await office.client.delete(f"/sessions/{session_id}")
        assert response.status_code == 410
        assert response.json()["detail"] == "An operator ended the conversation."


async def test_the_log_is_there_during_and_after_the_session():
    async with opened() as office:
        waiting = await office.start()
        await office.offer()
        (session_id,) = office.pool.leased_for
        office.pool.last.log = "héllo\n<script>\udcff"
        for _ in range(2):
            response = await office.client.get(f"/sessions/{session_id}/log")
            assert response.status_code == 200
            assert response.headers["content-type"] == "text/plain; charset=utf-8"
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.text == "héllo\n<script>?"
            office.pool.last.end("client_left")
            await office.settle()
        assert (await office.client.get(f"/sessions/{waiting}/log")).text == ""


async def test_the_history_is_told_as_it_happens_until_the_end():
    async with opened() as office:
        session_id = await office.start()
        told: list[httpx.Response] = []

        async def watch() -> None:
            told.append(await office.client.get(f"/sessions/{session_id}/events"))

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await office.settle()
            await office.offer(f"/sessions/{session_id}/api/offer")
            office.pool.last.reach("dtls_done", at=1000.25)
            office.pool.last.reach("first_audio_in", at=1000.5)
            office.pool.last.exit(signal=SIGSEGV)
        events = parse(told[0].text)

    assert told[0].headers["content-type"].startswith("text/event-stream")
    assert [data["state"] for kind, data in events if kind == "state"] == [
        "requested",
        "admitted",
        "starting",
        "connecting",
        "ready",
        "active",
        "ending",
    ]
    assert ("step", {"step": "dtls_done", "at_s": 0.25}) in events
    kind, end = events[-1]
    assert kind == "end"
    assert end["end_reason"] == "bot_crashed"
    assert end["end_words"] == "The bot crashed (signal SIGSEGV)."
    assert isinstance(end["at_s"], float)


async def test_the_history_of_an_ended_session_is_told_at_once():
    async with opened() as office:
        await office.offer()
        (session_id,) = office.pool.leased_for
        await office.client.delete(f"/sessions/{session_id}")
        events = parse((await office.client.get(f"/sessions/{session_id}/events")).text)
        assert events[0] == ("state", {"state": "requested"})
        assert events[-1][0] == "end"


async def test_who_watches_a_quiet_session_hears_that_the_line_is_open(monkeypatch):
    monkeypatch.setattr(door, "KEEP_ALIVE_S", 0.01)
    async with opened() as office:
        session_id = await office.start()
        stream = door.tell(office.app.state.dispatcher.find(session_id))
        first, second = await anext(stream), await anext(stream)
        await stream.aclose()
    assert first.startswith(b"event: state\n")
    assert second == b": still here\n\n"


async def test_who_watches_a_request_learns_that_it_expired():
    async with opened() as office:
        session_id = await office.start()
        stream = door.tell(office.app.state.dispatcher.find(session_id))
        await anext(stream)
        office.clock.hands += 61
        await office.start()
        (*_, (kind, data)) = parse((await anext(stream)).decode())
        assert kind == "end"
        assert data["end_reason"] == "never_connected"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

"""Ended sessions are kept for a while, within bounds."""

import pytest
from tests.server.fakes import FakeClock

from offhook.ids import SessionId
from offhook.protocol.endings import Ending, EndReason
from offhook.server.records import Records
from offhook.server.sessions import Session


def ended(name: str, *connection_ids: str) -> Session:
    clock = FakeClock()
    session = Session(
        session_id=SessionId(name),
        transport="webrtc",
        node="local",
        now=clock.now(),
        started_at=clock.wall(),
    )
    session.connection_ids = list(connection_ids)
    session.end(Ending(EndReason.CLIENT_LEFT), clock.now())
    return session


async def test_a_record_is_found_by_id_and_by_connection():
    records = Records()
    session = ended("a", "pc-1", "pc-2")
    records.add(session, "hello\n")
    for found in (records.get(SessionId("a")), records.get_by_connection("pc-2")):
        assert found is not None
        assert found.session is session
        assert found.log == b"hello\n"
    assert records.get(SessionId("b")) is None
    assert records.get_by_connection("pc-3") is None


async def test_the_newest_come_first():
    records = Records()
    for name in "abc":
        records.add(ended(name), "")
    assert [session.id for session in records.newest(2)] == ["c", "b"]
    assert len(records.newest(99)) == 3


async def test_the_number_is_bounded_and_the_oldest_give_way():
    records = Records(max_records=2)
    for name in "abc":
        records.add(ended(name, f"pc-{name}"), "")
    assert len(records) == 2
    assert records.get(SessionId("a")) is None
    assert records.get_by_connection("pc-a") is None
    assert records.get_by_connection("pc-c") is not None


@pytest.mark.parametrize("size", [400, 401])
async def test_the_bytes_of_logs_are_bounded(size):
    records = Records(max_log_bytes=1000)
    for name in "abcdef":
        records.add(ended(name), "x" * size)
        assert records.size_bytes <= 1000
    assert [session.id for session in records.newest(9)] == ["f", "e"]


async def test_a_log_that_is_no_text_is_kept_as_far_as_it_goes():
    records = Records()
    records.add(ended("a"), "fine\udcff")
    found = records.get(SessionId("a"))
    assert found is not None
    assert found.log == b"fine?"

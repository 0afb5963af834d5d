"""One live session: listened to, asked to end, forced, reaped; one reason at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from signal import SIGKILL, SIGSEGV

import anyio
import pytest
from tests.server.fakes import FakeClock, FakeExit, FakeWorker, mute, polite

from offhook.channel import ChannelFullError
from offhook.ids import SessionId
from offhook.protocol.control import (
    Answered,
    CloseSession,
    Heartbeat,
    SessionEnded,
    StartBot,
    Step,
    WorkerReady,
)
from offhook.protocol.endings import Ending, EndReason
from offhook.server import live
from offhook.server.config import Config
from offhook.server.live import LiveSession
from offhook.server.sessions import Session, State

SOON = 0.03
"""A deadline that passes while a test looks on; others are far away."""


@dataclass
class Running:
    live: LiveSession
    worker: FakeWorker
    endings: list[Ending] = field(default_factory=list)

    @property
    def session(self) -> Session:
        return self.live.session

    async def run(self) -> None:
        self.endings.append(await self.live.run())


@asynccontextmanager
async def running(behave=polite, **settings: float) -> AsyncIterator[Running]:
    """Give a session in CONNECTING; the block ends when the session has."""
    clock = FakeClock()
    session = Session(
        session_id=SessionId("local~a"),
        transport="webrtc",
        node="local",
        now=clock.now(),
        started_at=clock.wall(),
    )
    session.advance(State.ADMITTED)
    session.advance(State.STARTING)
    worker = FakeWorker(1, behave)
    live = LiveSession(session, worker, config=Config(**settings), clock=clock)
    async with anyio.create_task_group() as group:
        it = Running(live, worker)
        group.start_soon(it.run)
        live.answered()
        yield it


async def test_the_worker_is_told_what_to_run():
    async with running() as it:
        it.live.start_bot(body=b'{"a":1}')
        it.worker.end("bot_finished")
    assert it.worker.got == [StartBot(session_id="local~a", kind="webrtc", body=b'{"a":1}')]


async def test_the_session_follows_what_the_worker_reports():
    async with running() as it:
        it.worker.reach("dtls_done", at=1000.5)
        it.worker.reach("client_ready", at=1000.6)
        it.worker.reach("bot_ready", at=1000.7)
        await anyio.wait_all_tasks_blocked()
        assert it.session.state is State.READY
        it.worker.reach("first_audio_out", at=1000.8)
        await anyio.wait_all_tasks_blocked()
        assert it.session.state is State.ACTIVE
        it.worker.end("client_left")
    assert it.session.steps[Step.FIRST_AUDIO_OUT] == 0.8


async def test_what_a_newer_worker_says_is_ignored():
    async with running() as it:
        it.worker.reach("levitated")
        it.worker.say(WorkerReady(pid=1), Answered(request=7))
        it.worker.end("client_left")
    assert it.endings == [Ending(EndReason.CLIENT_LEFT)]


# Which reason


async def test_the_sessions_own_word_counts_more_than_the_exit_status():
    async with running() as it:
        it.worker.say(SessionEnded(reason="bot_crashed", detail="ValueError"))
        it.worker.exit(exit_code=1)
    assert it.endings == [Ending(EndReason.BOT_CRASHED, "ValueError")]


@pytest.mark.parametrize(
    ("end", "detail"),
    [
        (FakeExit(signal=SIGSEGV), "signal SIGSEGV"),
        (FakeExit(signal=SIGKILL), "signal SIGKILL"),
        (FakeExit(signal=63), "signal 63"),
        (FakeExit(exit_code=3), "exit code 3"),
        (FakeExit(exit_code=0), "exit code 0"),
    ],
)
async def test_a_process_that_goes_without_a_word_has_crashed(end, detail):
    async with running() as it:
        it.worker.exit(end.exit_code, end.signal)
    assert it.endings == [Ending(EndReason.BOT_CRASHED, detail)]
    assert it.worker.killed == 0


async def test_a_reason_that_we_do_not_know_is_none():
    async with running() as it:
        it.worker.say(SessionEnded(reason="levitated"))
        it.worker.exit(exit_code=3)
    assert it.endings == [Ending(EndReason.BOT_CRASHED, "exit code 3")]


async def test_a_process_whose_children_keep_its_channel_open_is_noticed():
    async with running() as it:
        it.worker.exit_but_leave_the_channel_open(signal=SIGSEGV)
    assert it.endings == [Ending(EndReason.BOT_CRASHED, "signal SIGSEGV")]


# Asking


async def test_a_session_is_asked_to_end_once():
    async with running() as it:
        it.live.ask_to_end(EndReason.STOPPED_BY_OPERATOR)
        it.live.ask_to_end(EndReason.DRAINED)
    (asked,) = it.worker.messages(CloseSession)
    assert asked == CloseSession(
        reason="stopped_by_operator", words="An operator ended the conversation.", grace_s=5.0
    )
    assert it.endings == [Ending(EndReason.STOPPED_BY_OPERATOR)]
    assert it.worker.killed == it.worker.dumped == 0
    assert Step.CLOSING in it.session.steps


async def test_an_ended_session_is_not_asked_any_more():
    async with running() as it:
        it.worker.end("client_left")
    it.live.ask_to_end(EndReason.DRAINED)
    assert it.worker.got == []


async def test_who_is_asked_and_falls_over_has_ended_as_asked():
    def fall_over(worker, message):
        if isinstance(message, CloseSession):
            worker.exit(signal=SIGSEGV)

    async with running(fall_over) as it:
        it.live.ask_to_end(EndReason.DRAINED)
    assert it.endings == [Ending(EndReason.DRAINED)]


async def test_a_worker_that_does_not_read_is_forced():
    def full(_worker, _message):
        raise ChannelFullError("the peer has stopped reading its channel")

    async with running(full, close_timeout_s=SOON) as it:
        it.live.ask_to_end(EndReason.DRAINED)
    assert it.endings == [Ending(EndReason.DRAINED)]
    assert it.worker.killed


# Force


async def test_a_worker_that_does_not_end_has_its_stacks_written_and_is_killed():
    async with running(mute, close_timeout_s=SOON) as it:
        it.live.ask_to_end(EndReason.STOPPED_BY_OPERATOR)
    assert it.worker.dumped == it.worker.killed == 1
    assert it.endings == [Ending(EndReason.STOPPED_BY_OPERATOR)]


async def test_a_worker_that_ended_in_words_only_is_killed():
    async with running(close_timeout_s=SOON) as it:
        it.worker.say(SessionEnded(reason="client_left"))
    assert it.worker.dumped == it.worker.killed == 1
    assert it.endings == [Ending(EndReason.CLIENT_LEFT)]


async def test_a_worker_that_only_closed_its_channel_is_killed():
    async with running(close_timeout_s=SOON) as it:
        it.worker.close_channel()
    assert it.worker.killed == 1
    assert it.endings == [Ending(EndReason.BOT_UNRESPONSIVE)]


async def test_stacks_that_end_the_process_spare_the_killing():
    async with running(mute, close_timeout_s=SOON) as it:
        it.worker.on_dump = lambda: it.worker.exit(signal=10)
        it.live.ask_to_end(EndReason.DRAINED)
    assert it.worker.dumped == 1
    assert it.endings == [Ending(EndReason.DRAINED)]


async def test_a_cancelled_session_leaves_no_process():
    async with running() as it:
        async with anyio.create_task_group() as group:
            other = LiveSession(
                it.session, worker := FakeWorker(2, mute), config=Config(), clock=FakeClock()
            )
            group.start_soon(other.run)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert worker.killed == 1
        it.worker.end("client_left")


async def test_a_process_that_cannot_be_killed_is_given_up(monkeypatch):
    monkeypatch.setattr(live, "KILL_S", 0.01)
    async with running(mute, close_timeout_s=SOON) as it:
        it.worker.kill = lambda: None
        it.worker.close_channel()
    assert it.endings == [Ending(EndReason.BOT_UNRESPONSIVE)]


# Deadlines


async def test_a_worker_that_falls_silent_is_asked_and_then_killed():
    async with running(mute, unresponsive_after_s=SOON, close_timeout_s=SOON) as it:
        pass
    assert it.endings == [Ending(EndReason.BOT_UNRESPONSIVE)]
    assert len(it.worker.messages(CloseSession)) == 1
    assert it.worker.dumped == it.worker.killed == 1


async def test_a_worker_that_recovers_ends_politely():
    async with running(polite, unresponsive_after_s=SOON) as it:
        pass
    assert it.endings == [Ending(EndReason.BOT_UNRESPONSIVE)]
    assert it.worker.killed == 0


async def test_heartbeats_keep_a_silent_session_alive():
    async with running(unresponsive_after_s=0.2) as it:
        for _ in range(10):
            await anyio.sleep(0.04)  # a heart beats in time
            it.worker.say(Heartbeat(lag_ms=0))
        assert not it.worker.got
        it.worker.end("client_left")
    assert it.endings == [Ending(EndReason.CLIENT_LEFT)]


async def test_a_client_that_never_connects_is_not_waited_for():
    async with running(connect_timeout_s=SOON, close_timeout_s=SOON) as it:
        pass
    assert it.endings == [Ending(EndReason.NEVER_CONNECTED)]


async def test_a_client_that_connected_is_not_ended_for_it():
    async with running(connect_timeout_s=SOON, close_timeout_s=SOON) as it:
        it.worker.reach("ice_connected")
        await anyio.sleep(SOON * 4)  # what would have ended it passes
        it.worker.end("client_left")
    assert it.endings == [Ending(EndReason.CLIENT_LEFT)]


async def test_a_bot_that_never_says_ready_ends_the_session():
    async with running(handshake_timeout_s=SOON, close_timeout_s=SOON) as it:
        it.worker.reach("dtls_done")
        it.worker.reach("client_ready")
    assert it.endings == [Ending(EndReason.HANDSHAKE_TIMEOUT)]


async def test_a_bot_that_said_ready_is_not_ended_for_it():
    async with running(handshake_timeout_s=SOON, close_timeout_s=SOON) as it:
        for step in ("dtls_done", "client_ready", "bot_ready"):
            it.worker.reach(step)
        await anyio.sleep(SOON * 4)  # what would have ended it passes
        it.worker.end("bot_finished")
    assert it.endings == [Ending(EndReason.BOT_FINISHED)]

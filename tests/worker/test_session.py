"""One session: a bot over a socket pair, a client whose every move the test plays."""

import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from tests.transports.webrtc.fakes import FakeEngine

from offhook.channel import Channel, socket_pair
from offhook.kit.arguments import RunnerArguments, SmallWebRTCRunnerArguments
from offhook.protocol.control import (
    Answered,
    AnyMessage,
    Candidates,
    CloseSession,
    Heartbeat,
    IceCandidate,
    Offer,
    Progress,
    SessionEnded,
    SessionSettings,
    StartBot,
    StopServer,
)
from offhook.protocol.endings import Ending
from offhook.transports.webrtc.connection import SmallWebRTCConnection
from offhook.transports.webrtc.engine import EngineListener
from offhook.transports.webrtc.settings import WebRTCSettings
from offhook.transports.webrtc.udp import UdpPortsExhaustedError
from offhook.worker.session import WorkerSession

Bot = Callable[[RunnerArguments], Awaitable[object]]
OFFER = "v=0\r\nm=application \r\n"
READY = '{"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {}}'
BOT_READY = {"label": "rtvi-ai", "type": "bot-ready", "id": "1", "data": {}}
PATIENCE_S = 10.0


class JumpyClock:
    """A clock that stands still, but for the given jumps: one before each reading."""

    def __init__(self, *jumps: float) -> None:
        self._jumps = deque(jumps)
        self._hands = 1000.0

    def now(self) -> float:
        self._hands += self._jumps.popleft() if self._jumps else 0.0
        return self._hands

    def wall(self) -> datetime:
        return datetime(2026, 11, 25, tzinfo=UTC)


class PortlessEngine(FakeEngine):
    async def answer(self, sdp: str) -> str:
        raise UdpPortsExhaustedError((9, 9))


class Desk:
    """The server's end, and the client's moves."""

    def __init__(self, server: Channel, engine: type[FakeEngine]) -> None:
        self.server = server
        self.engine = engine()
        self.said: list[AnyMessage] = []
        self.ending: Ending | None = None
        self._offers = 0
        self._over = anyio.Event()

    def make_engine(self, settings: WebRTCSettings, listener: EngineListener) -> FakeEngine:
        self.engine.settings, self.engine.listener = settings, listener
        return self.engine

    @property
    def client(self) -> EngineListener:
        assert self.engine.listener is not None
        return self.engine.listener

    async def run(self, session: WorkerSession, start: StartBot) -> None:
        self.ending = await session.run(start)
        self._over.set()

    async def hear(self) -> AnyMessage:
        with anyio.fail_after(PATIENCE_S):
            self.said.append((await self.server.receive()).message)
        return self.said[-1]

    async def offer(self, sdp: str = OFFER) -> Answered:
        self._offers += 1
        self.server.send(Offer(request=self._offers, sdp=sdp))
        while not isinstance(message := await self.hear(), Answered):
            pass
        assert message.request == self._offers
        return message

    async def connect(self) -> None:
        """Be a client whose media and messages flow."""
        assert (await self.offer()).problem == ""
        self.client.connected()
        self.client.channel_opened()

    async def over(self) -> SessionEnded:
        """Wait for the end; return the last words, of which there is exactly one record."""
        with anyio.fail_after(PATIENCE_S):
            await self._over.wait()
        self.said += self.server.drain()
        last = [each for each in self.said if isinstance(each, SessionEnded)]
        assert len(last) == 1
        assert self.said[-1] is last[0]
        assert self.ending is not None
        assert self.ending.reason == last[0].reason
        return last[0]

    def steps(self) -> list[str]:
        return [each.step for each in self.said if isinstance(each, Progress)]


@asynccontextmanager
async def session_of(
    bot: Bot,
    *,
    engine: type[FakeEngine] = FakeEngine,
    clock: JumpyClock | None = None,
    body: bytes = b"{}",
    close_timeout_s: float = 0.02,
    handshake_timeout_s: float = 30.0,
    server_reads: bool = True,
) -> AsyncIterator[Desk]:
    ours, theirs = socket_pair()
    start = StartBot(session_id="local~x", kind="webrtc", body=body)
    settings = SessionSettings(
        close_timeout_s=close_timeout_s, handshake_timeout_s=handshake_timeout_s
    )
    with Channel(ours) as server, Channel(theirs) as channel:
        desk = Desk(server, engine)
        connection = partial(SmallWebRTCConnection, engine=desk.make_engine)
        session = WorkerSession(
            channel, bot, settings, clock=clock or JumpyClock(), connection=connection
        )
        async with anyio.create_task_group() as group:
            group.start_soon(desk.run, session, start)
            yield desk
            group.cancel_scope.cancel()


def waits(*events: anyio.Event) -> Bot:
    """A bot that ends when all of these have happened."""

    async def bot(_: RunnerArguments) -> None:
        for event in events:
            await event.wait()

    return bot


def raises(error: BaseException) -> Bot:
    async def bot(_: RunnerArguments) -> None:
        raise error

    return bot


async def talks_forever(_: RunnerArguments) -> None:
    await anyio.sleep_forever()


async def test_the_bot_gets_its_connection_the_body_and_the_id() -> None:
    got: list[RunnerArguments] = []

    async def bot(arguments: RunnerArguments) -> None:
        got.append(arguments)

    async with session_of(bot, body=b'{"name": "Ada"}') as desk:
        assert await desk.over() == SessionEnded(reason="bot_finished")
    (arguments,) = got
    assert isinstance(arguments, SmallWebRTCRunnerArguments)
    assert isinstance(arguments.webrtc_connection, SmallWebRTCConnection)
    assert arguments.body == {"name": "Ada"}
    assert arguments.session_id == "local~x"


async def test_the_bot_is_entered_before_anything_else_is_reported() -> None:
    async with session_of(waits()) as desk:
        await desk.over()
    assert desk.steps() == ["bot_entered"]


async def test_a_bot_that_returns_says_goodbye_without_an_error() -> None:
    done = anyio.Event()
    async with session_of(waits(done)) as desk:
        await desk.connect()
        done.set()
        assert await desk.over() == SessionEnded(reason="bot_finished")
    assert [text for text in desk.engine.texts if "error" in text] == []
    assert "peerLeft" in desk.engine.texts[-1]
    assert desk.engine.is_closed
    assert desk.ending is not None
    assert desk.ending.is_orderly


CRASHES = [
    (ValueError("a secret"), "ValueError"),
    (ExceptionGroup("a task group", [ExceptionGroup("inner", [OSError("x")])]), "OSError"),
    (ExceptionGroup("two", [OSError("x"), ValueError("y")]), "ExceptionGroup"),
    (BaseExceptionGroup("a task group", [SystemExit(3)]), "exit code 3"),
    (SystemExit(3), "exit code 3"),
    (SystemExit("no credit"), "exit code no credit"),
]


@pytest.mark.parametrize(("error", "detail"), CRASHES, ids=[detail for _, detail in CRASHES])
async def test_a_bot_that_raises_has_crashed_and_the_client_hears_what_but_no_secret(
    error: BaseException, detail: str
) -> None:
    begin = anyio.Event()

    async def bot(_: RunnerArguments) -> None:
        await begin.wait()
        raise error

    async with session_of(bot) as desk:
        await desk.connect()
        begin.set()
        assert await desk.over() == SessionEnded(reason="bot_crashed", detail=detail)
    assert desk.ending is not None
    assert not desk.ending.is_orderly
    told, goodbye = desk.engine.texts
    assert f"The bot crashed ({detail})." in told
    assert "a secret" not in told
    assert "peerLeft" in goodbye


async def test_what_a_bot_raises_is_printed_with_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with session_of(raises(ValueError("for the author"))) as desk:
        await desk.over()
    assert "ValueError: for the author" in capsys.readouterr().err


@pytest.mark.parametrize("code", [None, 0])
async def test_a_bot_that_exits_without_an_error_has_finished(code: int | None) -> None:
    async def bot(_: RunnerArguments) -> None:
        sys.exit(code)

    async with session_of(bot) as desk:
        assert await desk.over() == SessionEnded(reason="bot_finished")


async def test_a_client_who_leaves_gives_the_bot_time_to_finish() -> None:
    finished: list[str] = []

    async def bot(arguments: RunnerArguments) -> None:
        assert isinstance(arguments, SmallWebRTCRunnerArguments)
        await arguments.webrtc_connection.closed()
        finished.append("wrote it all down")

    async with session_of(bot, close_timeout_s=20) as desk:
        await desk.connect()
        desk.client.disconnected()
        assert await desk.over() == SessionEnded(reason="client_left")
    assert finished == ["wrote it all down"]
    assert desk.engine.texts == []


async def test_a_bot_that_ignores_that_its_client_left_is_cancelled() -> None:
    async with session_of(talks_forever) as desk:
        await desk.connect()
        desk.client.disconnected()
        assert await desk.over() == SessionEnded(reason="client_left")


async def test_a_bot_that_stumbles_over_the_end_of_its_client_is_no_crash() -> None:
    async def bot(arguments: RunnerArguments) -> None:
        assert isinstance(arguments, SmallWebRTCRunnerArguments)
        arguments.webrtc_connection.open_audio_in(sample_rate_hz=16_000)
        await arguments.webrtc_connection.receive_audio()

    async with session_of(bot) as desk:
        await desk.connect()
        desk.client.disconnected()
        assert (await desk.over()).reason == "client_left"


async def test_a_client_who_leaves_after_the_bot_changes_nothing() -> None:
    done = anyio.Event()
    async with session_of(waits(done)) as desk:
        await desk.connect()
        done.set()
        await anyio.lowlevel.checkpoint()
        desk.client.disconnected()
        assert await desk.over() == SessionEnded(reason="bot_finished")


async def test_the_server_ends_it_with_its_reason_in_words() -> None:
    async with session_of(talks_forever) as desk:
        await desk.connect()
        desk.server.send(CloseSession(reason="stopped_by_operator", words="x", grace_s=1))
        assert await desk.over() == SessionEnded(reason="stopped_by_operator")
    assert "An operator ended the conversation." in desk.engine.texts[0]
    assert "peerLeft" in desk.engine.texts[1]


async def test_asked_twice_to_end_it_keeps_the_first_reason() -> None:
    async with session_of(talks_forever) as desk:
        await desk.connect()
        for reason in ("drained", "stopped_by_operator"):
            desk.server.send(CloseSession(reason=reason, words="", grace_s=1))
        assert (await desk.over()).reason == "drained"


async def test_a_worker_whose_server_has_gone_tells_the_client_and_ends() -> None:
    async with session_of(talks_forever) as desk:
        await desk.connect()
        desk.server.close()
        with anyio.fail_after(PATIENCE_S):
            while desk.ending is None:
                await anyio.lowlevel.checkpoint()
    assert desk.ending == Ending(desk.ending.reason, "the server has gone")
    assert desk.ending.reason == "host_lost"
    assert "(the server has gone)" in desk.engine.texts[0]


async def test_a_handshake_that_the_bot_does_not_finish_ends_the_session() -> None:
    async with session_of(talks_forever, handshake_timeout_s=0.02) as desk:
        await desk.connect()
        desk.client.message_received(READY)
        assert await desk.over() == SessionEnded(reason="handshake_timeout")
    assert "client_ready" in desk.steps()
    assert "never said that it was" in desk.engine.texts[0]


async def test_a_handshake_that_is_finished_goes_on() -> None:
    done = anyio.Event()

    async def bot(arguments: RunnerArguments) -> None:
        assert isinstance(arguments, SmallWebRTCRunnerArguments)
        arguments.webrtc_connection.send_app_message(BOT_READY)
        await done.wait()

    async with session_of(bot, handshake_timeout_s=0.05) as desk:
        await desk.connect()
        desk.client.message_received(READY)
        await anyio.sleep(0.1)  # longer than the handshake may take
        done.set()
        assert (await desk.over()).reason == "bot_finished"
    assert {"client_ready", "bot_ready"} <= set(desk.steps())


async def test_an_offer_is_answered_and_candidates_are_handed_on() -> None:
    candidate = IceCandidate(candidate="candidate:1")
    done = anyio.Event()
    async with session_of(waits(done)) as desk:
        answered = await desk.offer("v=0\r\n")
        assert answered.sdp == "answer to v=0\r\n"
        assert answered.pc_id.startswith("pc-")
        desk.server.send(Candidates(candidates=(candidate,)))
        await desk.offer("v=0\r\n")  # the records are obeyed in their order
        assert desk.engine.candidates == [candidate]
        done.set()
        await desk.over()


async def test_an_offer_that_is_no_good_is_the_clients_fault_and_the_session_goes_on() -> None:
    async with session_of(talks_forever) as desk:
        refused = await desk.offer("bad")
        assert (refused.problem, refused.is_peer_fault) == ("bad", True)
        await desk.connect()
        desk.server.send(CloseSession(reason="drained", words="", grace_s=1))
        assert (await desk.over()).reason == "drained"


async def test_an_offer_that_finds_no_port_is_our_fault() -> None:
    async with session_of(talks_forever, engine=PortlessEngine) as desk:
        refused = await desk.offer()
        assert refused.problem
        assert not refused.is_peer_fault
        desk.server.send(CloseSession(reason="drained", words="", grace_s=1))
        await desk.over()


async def test_an_offer_that_comes_while_it_ends_is_told_why_it_ended() -> None:
    class SlowToClose(FakeEngine):
        async def drain(self) -> None:
            await closing.wait()

    closing, crash = anyio.Event(), anyio.Event()

    async def bot(_: RunnerArguments) -> None:
        await crash.wait()
        raise ValueError

    async with session_of(bot, engine=SlowToClose) as desk:
        await desk.connect()
        crash.set()
        await anyio.wait_all_tasks_blocked()
        late = await desk.offer()
        assert late.problem == "The bot crashed (ValueError)."
        assert not late.is_peer_fault
        closing.set()
        assert (await desk.over()).reason == "bot_crashed"


async def test_messages_out_of_place_and_of_a_newer_release_are_ignored() -> None:
    ours, theirs = socket_pair()
    start = StartBot(session_id="s", kind="webrtc")
    with ours, Channel(theirs) as channel:
        desk = Desk(Channel(ours), FakeEngine)
        connection = partial(SmallWebRTCConnection, engine=desk.make_engine)
        session = WorkerSession(
            channel, talks_forever, SessionSettings(), clock=JumpyClock(), connection=connection
        )
        async with anyio.create_task_group() as group:
            group.start_soon(desk.run, session, start)
            ours.send(b"\x81\xa1t\xabfrom_future")
            desk.server.send(StopServer(grace_s=1))
            await desk.connect()
            desk.server.send(CloseSession(reason="drained", words="", grace_s=1))
            assert (await desk.over()).reason == "drained"


async def test_a_heartbeat_says_how_late_the_loop_was() -> None:
    # Readings: the bot is entered, due, to sleep until then, and what it was after sleeping.
    clock = JumpyClock(0.0, 0.0, 2.0, 0.3)
    async with session_of(talks_forever, clock=clock) as desk:
        while not isinstance(beat := await desk.hear(), Heartbeat):
            pass
        assert beat.lag_ms == pytest.approx(300)
        desk.server.send(CloseSession(reason="drained", words="", grace_s=1))
        await desk.over()


async def test_a_server_that_does_not_read_does_not_hold_the_session_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done = anyio.Event()

    async def bot(arguments: RunnerArguments) -> None:
        assert isinstance(arguments, SmallWebRTCRunnerArguments)
        await done.wait()

    # Each reading is two seconds after the one before, so that it beats without end.
    clock = JumpyClock(*[2.0] * 3000)
    async with session_of(bot, clock=clock) as desk:
        with anyio.fail_after(PATIENCE_S):
            while "the server does not read" not in caplog.text:
                await anyio.lowlevel.checkpoint()
        desk.server.drain()
        done.set()
        assert (await desk.over()).reason == "bot_finished"

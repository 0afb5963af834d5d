"""A pool whose workers have behaviour, a clock whose hands we hold, a client at the door."""

import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL

import anyio
import httpx
from fastapi import FastAPI

from offhook.channel import ChannelClosedError
from offhook.errors import WorkerError
from offhook.ids import SessionId, WorkerId
from offhook.protocol.control import (
    Answered,
    AnyMessage,
    CloseSession,
    Offer,
    Progress,
    SessionEnded,
)
from offhook.server.app import create_app
from offhook.server.config import Config

OFFERS = Path(__file__).parent.parent / "wire" / "sdp" / "valid"
OFFER = (OFFERS / "chromium-audio.sdp").read_text(encoding="utf-8")
ANSWER = "v=0\r\nthe answer\r\n"


@dataclass(frozen=True)
class FakeExit:
    exit_code: int | None = None
    signal: int | None = None


class FakeClock:
    def __init__(self) -> None:
        self.hands = 1000.0

    def now(self) -> float:
        return self.hands

    def wall(self) -> datetime:
        return datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


class FakeWorker:
    """A process in memory. `behave` is called with each message that it gets."""

    def __init__(self, number: int, behave: "Behaviour") -> None:
        self.worker_id = WorkerId(f"worker-{number}")
        self.pid = 10_000 + number
        self.got: list[AnyMessage] = []
        self.is_mute = False
        self.log = f"log of {number}\n"
        self.on_dump: Callable[[], None] | None = None
        self.dumped = 0
        self.killed = 0
        self.behave = behave
        self._says: deque[AnyMessage] = deque()
        self._is_closed = False
        self._problem: Exception | None = None
        self._news = anyio.Event()
        self._end: FakeExit | None = None
        self._ended = anyio.Event()

    # The server's side

    def send(self, message: AnyMessage) -> None:
        if self._is_closed:
            raise ChannelClosedError("the peer of a channel has gone")
        self.got.append(message)
        self.behave(self, message)

    async def receive(self) -> AnyMessage:
        while True:
            if self._says:
                return self._says.popleft()
            if self._problem is not None:
                raise self._problem
            if self._is_closed:
                raise anyio.EndOfStream
            await self._news.wait()

    async def exited(self) -> FakeExit:
        await self._ended.wait()
        assert self._end is not None
        return self._end

    def log_tail(self) -> str:
        return self.log

    def dump_stacks(self) -> None:
        self.dumped += 1
        self.log += "stacks\n"
        if self.on_dump is not None:
            self.on_dump()

    def kill(self) -> None:
        if self._end is None:
            self.killed += 1
        self.exit(signal=SIGKILL)

    # The process's side

    def say(self, *messages: AnyMessage) -> None:
        self._says.extend(messages)
        self._tell()

    def close_channel(self) -> None:
        self._is_closed = True
        self._tell()

    def fail_receiving(self, problem: Exception) -> None:
        self._problem = problem
        self._tell()

    def exit_but_leave_the_channel_open(self, *, signal: int) -> None:
        self._end = FakeExit(signal=signal)
        self._ended.set()

    def exit(self, exit_code: int | None = None, signal: int | None = None) -> None:
        if self._end is None:
            self._end = FakeExit(exit_code, signal)
            self._ended.set()
            self.close_channel()

    def end(self, reason: str, detail: str = "") -> None:
        self.say(SessionEnded(reason=reason, detail=detail))
        self.exit(0)

    def reach(self, step: str, at: float = math.nan) -> None:
        self.say(Progress(step=step, at=at))

    def messages(self, kind: type[AnyMessage]) -> list[AnyMessage]:
        return [message for message in self.got if isinstance(message, kind)]

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()


Behaviour = Callable[[FakeWorker, AnyMessage], None]


def polite(worker: FakeWorker, message: AnyMessage) -> None:
    """Answers offers, and ends when asked."""
    match message:
        case Offer(request=request, restart_pc=restart_pc):
            offers = len(worker.messages(Offer))
            generation = offers if restart_pc else 1
            pc_id = f"pc-{worker.pid}-{generation}"
            worker.say(Answered(request=request, sdp=ANSWER, pc_id=pc_id))
        case CloseSession(reason=reason):
            worker.end(reason)
        case _:
            pass


def mute(worker: FakeWorker, message: AnyMessage) -> None:
    """Hears everything and says nothing."""


def dies_at_offer(signal: int | None = None, exit_code: int | None = None) -> Behaviour:
    def behave(worker: FakeWorker, message: AnyMessage) -> None:
        if isinstance(message, Offer):
            worker.exit(exit_code, signal)

    return behave


class NoWorkerError(WorkerError):
    code = "no_worker"


@dataclass
class FakePool:
    """Gives workers at once, or lets them be waited for."""

    behave: Behaviour = polite
    is_up: bool = True
    workers: list[FakeWorker] = field(default_factory=list)
    leased_for: list[SessionId] = field(default_factory=list)
    gate: anyio.Event | None = None

    async def lease(self, *, session_id: SessionId, timeout_s: float) -> FakeWorker:
        self.leased_for.append(session_id)
        if self.gate is not None:
            with anyio.move_on_after(timeout_s):
                await self.gate.wait()
        else:
            await anyio.lowlevel.checkpoint()
        if not self.is_up or (self.gate is not None and not self.gate.is_set()):
            raise NoWorkerError(f"no worker within {timeout_s:g} s")
        worker = FakeWorker(len(self.workers), self.behave)
        self.workers.append(worker)
        return worker

    def is_ready(self) -> bool:
        return self.is_up

    @property
    def last(self) -> FakeWorker:
        return self.workers[-1]


@dataclass
class Office:
    """A served application with a client at its door."""

    app: FastAPI
    client: httpx.AsyncClient
    pool: FakePool
    clock: FakeClock

    async def offer(self, path: str = "/api/offer", **members: object) -> httpx.Response:
        return await self.client.post(path, json={"sdp": OFFER, "type": "offer", **members})

    async def start(self, **members: object) -> str:
        response = await self.client.post("/start", json=members)
        assert response.status_code == 200, response.text
        return str(response.json()["sessionId"])

    async def sessions(self, **query: object) -> list[dict[str, object]]:
        response = await self.client.get("/sessions", params=query)
        sessions: list[dict[str, object]] = response.json()["sessions"]
        return sessions

    async def show(self, session_id: str) -> dict[str, object]:
        shown: dict[str, object] = (await self.client.get(f"/sessions/{session_id}")).json()
        return shown

    async def settle(self) -> None:
        """Let everything run that can run without time passing."""
        await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def opened(pool: FakePool | None = None, **settings: object) -> AsyncIterator[Office]:
    pool, clock = pool or FakePool(), FakeClock()
    app = create_app(Config(**settings), clock=clock, pool=pool)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost:7860") as client,
    ):
        yield Office(app, client, pool, clock)

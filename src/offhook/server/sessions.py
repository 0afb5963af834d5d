"""Who is live: a session, its states and its timeline; who waits for an offer."""

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import anyio

from offhook.ids import SessionId
from offhook.protocol.control import Step
from offhook.protocol.endings import Ending, EndReason

MAX_EVENTS: Final = 200
MAX_CONNECTION_IDS: Final = 16
MAX_REQUESTS: Final = 1000
MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024


class State(StrEnum):
    REQUESTED = "requested"
    ADMITTED = "admitted"
    STARTING = "starting"
    CONNECTING = "connecting"
    READY = "ready"
    ACTIVE = "active"
    ENDING = "ending"
    ENDED = "ended"


TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    State.REQUESTED: frozenset({State.ADMITTED, State.ENDED}),
    State.ADMITTED: frozenset({State.STARTING, State.ENDED}),
    State.STARTING: frozenset({State.CONNECTING, State.ENDING, State.ENDED}),
    State.CONNECTING: frozenset({State.READY, State.ENDING, State.ENDED}),
    State.READY: frozenset({State.ACTIVE, State.ENDING, State.ENDED}),
    State.ACTIVE: frozenset({State.ENDING, State.ENDED}),
    State.ENDING: frozenset({State.ENDED}),
    State.ENDED: frozenset(),
}
REPEATABLE: Final = frozenset({Step.PEER_CONNECTION_RESTARTED})
AUDIO: Final = frozenset({Step.FIRST_AUDIO_IN, Step.FIRST_AUDIO_OUT})
BOTH_CAN_HEAR: Final = frozenset({Step.READY, Step.BOT_READY, Step.FIRST_AUDIO_OUT})
SPEAKS_RTVI: Final = frozenset({Step.DATA_CHANNEL_OPEN, Step.CLIENT_READY})


class IllegalTransitionError(RuntimeError):
    """A bug of ours: the table has no such transition."""


class Event(NamedTuple):
    """One entry of a session's history: a `step`, a `state` or the `end`."""

    kind: str
    data: Mapping[str, object]


def state_after(state: State, steps: AbstractSet[Step]) -> State:
    """Say where the steps that were reached lead; one transition at a time.

    A peer that speaks RTVI is ready after its handshake; any other as soon as audio flows.
    """
    is_plain = Step.FIRST_AUDIO_IN in steps and not steps & SPEAKS_RTVI
    if state is State.CONNECTING and (steps & BOTH_CAN_HEAR or is_plain):
        return State.READY
    if state is State.READY and steps & AUDIO:
        return State.ACTIVE
    return state


class Session:
    """One conversation from the request that asked for it to its record.

    Its history is bounded, so whoever watches keeps a cursor into `events` and needs no queue.
    """

    def __init__(
        self, *, session_id: SessionId, transport: str, node: str, now: float, started_at: datetime
    ) -> None:
        self.id = session_id
        self.transport, self.node = transport, node
        self.accepted_at, self.started_at = now, started_at
        self.state = State.REQUESTED
        self.ending: Ending | None = None
        self.pid: int | None = None
        self.connection_ids: list[str] = []
        self.steps: dict[Step, float] = {}
        self.events: list[Event] = [Event("state", {"state": State.REQUESTED})]
        self._changed = anyio.Event()
        self.mark(Step.ACCEPTED, now)

    @property
    def is_live(self) -> bool:
        """Whether it counts against the limit: admitted and not yet ended."""
        return self.state not in {State.REQUESTED, State.ENDED}

    def advance(self, state: State) -> None:
        """Enter a state.

        Raises:
            IllegalTransitionError: The table has no such transition.
        """
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransitionError(f"{self.state} → {state}")
        self.state = state
        if state is not State.ENDED:
            self._tell(Event("state", {"state": state}))

    def mark(self, step: Step, at: float) -> None:
        """Note that a step was reached at `at`, and enter the states that follow from it."""
        at_s = max(0.0, round(at - self.accepted_at, 6)) if math.isfinite(at) else 0.0
        self._note(step, at_s)
        while (following := state_after(self.state, self.steps.keys())) is not self.state:
            self.advance(following)
            if following is State.READY:
                self._note(Step.READY, at_s)

    def _note(self, step: Step, at_s: float) -> None:
        if step in self.steps and step not in REPEATABLE:
            return
        self.steps[step] = at_s
        if len(self.events) < MAX_EVENTS:
            self._tell(Event("step", {"step": step, "at_s": at_s}))

    def end(self, ending: Ending, now: float) -> None:
        """Enter the last state, with the one reason. Only the first ending counts."""
        if self.ending is not None:
            return
        self.ending = ending
        self.mark(Step.ENDED, now)
        self.advance(State.ENDED)
        self._tell(
            Event(
                "end",
                {
                    "end_reason": ending.reason,
                    "end_words": ending.words,
                    "end_detail": ending.detail,
                    "at_s": self.steps[Step.ENDED],
                },
            )
        )

    async def changed(self) -> None:
        """Wait for the next event."""
        await self._changed.wait()

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()
        self._changed = anyio.Event()

    def describe(self) -> dict[str, object]:
        """Say what an operator sees, as plain data."""
        described: dict[str, object] = {
            "id": self.id,
            "state": self.state,
            "transport": self.transport,
            "pid": self.pid,
            "node": self.node,
            "started_at": self.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "timeline": sorted(
                (event.data for event in self.events if event.kind == "step"), key=_when
            ),
        }
        if self.ending is not None:
            described["end_reason"] = self.ending.reason
            described["end_detail"] = self.ending.detail
            described["end_words"] = self.ending.words
        return described


def _when(step: Mapping[str, object]) -> float:
    at_s = step["at_s"]
    assert isinstance(at_s, float)  # noqa: S101 -- for the type checker
    return at_s


class SessionRequest(NamedTuple):
    """A call to /start whose offer has not come yet; `body` is JSON text."""

    session: Session
    body: bytes


class Requests:
    """The calls to /start that wait: bounded in number, bytes and time; the oldest give way."""

    def __init__(
        self, *, ttl_s: float, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_REQUEST_BYTES
    ) -> None:
        self._ttl_s, self._max_requests, self._max_bytes = ttl_s, max_requests, max_bytes
        self._waiting: OrderedDict[SessionId, SessionRequest] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size_bytes(self) -> int:
        """What the waiting bodies hold."""
        return self._bytes

    def add(self, request: SessionRequest, *, now: float) -> None:
        """Keep a request; older ones are dropped when there is no room."""
        self.expire(now=now)
        self._waiting[request.session.id] = request
        self._bytes += len(request.body)
        while len(self._waiting) > self._max_requests or self._bytes > self._max_bytes:
            self._drop(next(iter(self._waiting)), now=now)

    def get(self, session_id: SessionId, *, now: float) -> SessionRequest | None:
        """Find a request that has not expired."""
        self.expire(now=now)
        return self._waiting.get(session_id)

    def remove(self, session_id: SessionId) -> None:
        """Forget a request: its session lives now, or it is no longer wanted."""
        if (request := self._waiting.pop(session_id, None)) is not None:
            self._bytes -= len(request.body)

    def expire(self, *, now: float) -> None:
        """Drop the requests whose offer has not come in time."""
        while self._waiting:
            oldest = next(iter(self._waiting.values())).session
            if now - oldest.accepted_at <= self._ttl_s:
                return
            self._drop(oldest.id, now=now)

    def clear(self, ending: Ending, *, now: float) -> None:
        """Drop all: no offer will be answered any more."""
        for request in tuple(self._waiting.values()):
            self.remove(request.session.id)
            request.session.end(ending, now)

    def _drop(self, session_id: SessionId, *, now: float) -> None:
        session = self._waiting[session_id].session
        self.remove(session_id)
        session.end(Ending(EndReason.NEVER_CONNECTED), now)


class Registry:
    """The live sessions, by id and by the id of each of their peer connections."""

    def __init__(self) -> None:
        self._sessions: dict[SessionId, Session] = {}
        self._by_connection: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def get(self, session_id: SessionId) -> Session | None:
        """Find a live session."""
        return self._sessions.get(session_id)

    def get_by_connection(self, connection_id: str) -> Session | None:
        """Find the live session of a `pc_id`, its present one or an earlier one."""
        return self._by_connection.get(connection_id)

    def add(self, session: Session) -> None:
        """Count a session among the live."""
        self._sessions[session.id] = session

    def bind(self, session: Session, connection_id: str) -> None:
        """Let a `pc_id` lead to the session; a few earlier ones go on to."""
        if connection_id in session.connection_ids or session.id not in self._sessions:
            return
        session.connection_ids.append(connection_id)
        self._by_connection[connection_id] = session
        while len(session.connection_ids) > MAX_CONNECTION_IDS:
            self._by_connection.pop(session.connection_ids.pop(0), None)

    def remove(self, session: Session) -> None:
        """Forget a session and its connections. Safe to call twice."""
        self._sessions.pop(session.id, None)
        for connection_id in session.connection_ids:
            self._by_connection.pop(connection_id, None)

"""A session's states, its timeline, and who waits for an offer."""

import itertools

import anyio
import pytest
from tests.server.fakes import FakeClock

from offhook.ids import SessionId
from offhook.protocol.control import Step
from offhook.protocol.endings import Ending, EndReason
from offhook.server import sessions
from offhook.server.sessions import (
    TRANSITIONS,
    IllegalTransitionError,
    Registry,
    Requests,
    Session,
    SessionRequest,
    State,
    state_after,
)

ORDER = [State.ADMITTED, State.STARTING, State.CONNECTING, State.READY, State.ACTIVE, State.ENDING]


def new_session(name: str = "a", now: float = 1000.0) -> Session:
    return Session(
        session_id=SessionId(name),
        transport="webrtc",
        node="local",
        now=now,
        started_at=FakeClock().wall(),
    )


def in_state(state: State) -> Session:
    session = new_session()
    for each in ORDER[: ORDER.index(state) + 1]:
        session.advance(each)
    return session


# The table


@pytest.mark.parametrize(("one", "other"), list(itertools.product(State, State)))
async def test_what_is_not_in_the_table_cannot_happen(one, other):
    session = new_session()
    session.state = one
    if other in TRANSITIONS[one]:
        session.advance(other)
        assert session.state is other
    else:
        with pytest.raises(IllegalTransitionError):
            session.advance(other)


def test_every_state_leads_to_the_end():
    assert all(State.ENDED in TRANSITIONS[state] for state in State if state is not State.ENDED)
    assert not TRANSITIONS[State.ENDED]


@pytest.mark.parametrize(
    ("state", "steps", "following"),
    [
        (State.CONNECTING, {Step.ANSWER_SENT, Step.ICE_CONNECTED}, State.CONNECTING),
        (State.CONNECTING, {Step.FIRST_AUDIO_IN}, State.READY),
        (State.CONNECTING, {Step.FIRST_AUDIO_IN, Step.DATA_CHANNEL_OPEN}, State.CONNECTING),
        (State.CONNECTING, {Step.FIRST_AUDIO_IN, Step.CLIENT_READY}, State.CONNECTING),
        (State.CONNECTING, {Step.CLIENT_READY, Step.BOT_READY}, State.READY),
        (State.CONNECTING, {Step.FIRST_AUDIO_OUT}, State.READY),
        (State.CONNECTING, {Step.READY}, State.READY),
        (State.READY, {Step.BOT_READY}, State.READY),
        (State.READY, {Step.BOT_READY, Step.FIRST_AUDIO_IN}, State.ACTIVE),
        (State.READY, {Step.FIRST_AUDIO_OUT}, State.ACTIVE),
        (State.STARTING, set(Step), State.STARTING),
        (State.ACTIVE, set(Step), State.ACTIVE),
        (State.ENDING, set(Step), State.ENDING),
    ],
)
def test_steps_lead_to_states(state, steps, following):
    assert state_after(state, steps) is following


# The timeline


async def test_the_timeline_counts_from_the_request():
    session = in_state(State.CONNECTING)
    session.mark(Step.WORKER_LEASED, 1000.25)
    assert session.describe()["timeline"] == [
        {"step": "accepted", "at_s": 0.0},
        {"step": "worker_leased", "at_s": 0.25},
    ]


async def test_the_timeline_is_in_the_order_of_time():
    session = in_state(State.CONNECTING)
    session.mark(Step.ANSWER_SENT, 1000.5)
    session.mark(Step.BOT_ENTERED, 1000.25)
    timeline = session.describe()["timeline"]
    assert [step["step"] for step in timeline] == ["accepted", "bot_entered", "answer_sent"]


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -5.0])
async def test_a_worker_cannot_date_a_step_before_the_request(at):
    session = in_state(State.CONNECTING)
    session.mark(Step.BOT_ENTERED, at)
    assert session.steps[Step.BOT_ENTERED] == 0.0


async def test_a_step_counts_once_but_restarts_count_each():
    session = in_state(State.CONNECTING)
    for at in (1001.0, 1002.0):
        session.mark(Step.ICE_CONNECTED, at)
        session.mark(Step.PEER_CONNECTION_RESTARTED, at)
    told = [event.data for event in session.events if event.kind == "step"]
    assert told.count({"step": "ice_connected", "at_s": 1.0}) == 1
    assert [each["at_s"] for each in told if each["step"] == "peer_connection_restarted"] == [1, 2]


async def test_steps_that_make_both_sides_hear_mark_it():
    session = in_state(State.CONNECTING)
    session.mark(Step.CLIENT_READY, 1001.0)
    session.mark(Step.BOT_READY, 1002.0)
    assert session.state is State.READY
    assert session.steps[Step.READY] == 2.0
    session.mark(Step.FIRST_AUDIO_OUT, 1003.0)
    assert session.state is State.ACTIVE


async def test_one_step_can_lead_through_two_states():
    session = in_state(State.CONNECTING)
    session.mark(Step.FIRST_AUDIO_IN, 1001.0)
    assert session.state is State.ACTIVE
    told = [dict(event.data) for event in session.events if event.kind == "state"]
    assert told[-2:] == [{"state": "ready"}, {"state": "active"}]


async def test_the_history_is_bounded_but_has_the_end():
    session = in_state(State.CONNECTING)
    for number in range(1000):
        session.mark(Step.PEER_CONNECTION_RESTARTED, 1000.0 + number)
    session.end(Ending(EndReason.CLIENT_LEFT), 3000.0)
    assert len(session.events) <= sessions.MAX_EVENTS + 5
    assert session.events[-1].kind == "end"


async def test_who_watches_is_woken_by_each_event():
    session = new_session()
    async with anyio.create_task_group() as group:
        group.start_soon(session.changed)
        await anyio.wait_all_tasks_blocked()
        session.advance(State.ADMITTED)


# The end


async def test_the_first_ending_counts():
    session = in_state(State.ACTIVE)
    session.end(Ending(EndReason.BOT_CRASHED, "signal SIGSEGV"), 1010.0)
    session.end(Ending(EndReason.CLIENT_LEFT), 1011.0)
    described = session.describe()
    assert described["state"] == "ended"
    assert described["end_reason"] == "bot_crashed"
    assert described["end_detail"] == "signal SIGSEGV"
    assert described["end_words"] == "The bot crashed (signal SIGSEGV)."
    assert dict(session.events[-1].data) == {
        "end_reason": "bot_crashed",
        "end_words": "The bot crashed (signal SIGSEGV).",
        "end_detail": "signal SIGSEGV",
        "at_s": 10.0,
    }


def test_words_have_details_only_for_a_crash():
    assert Ending(EndReason.BOT_CRASHED).words == "The bot crashed."
    assert Ending(EndReason.NO_WORKER, "secret").words == "No bot process could be started in time."


@pytest.mark.parametrize("state", State)
async def test_only_an_admitted_session_that_has_not_ended_is_live(state):
    session = new_session()
    session.state = state
    assert session.is_live == (state not in {State.REQUESTED, State.ENDED})


async def test_the_description_is_that_of_the_contract():
    session = in_state(State.CONNECTING)
    session.pid = 4711
    assert session.describe() == {
        "id": "a",
        "state": "connecting",
        "transport": "webrtc",
        "pid": 4711,
        "node": "local",
        "started_at": "2026-11-25T12:00:00.000Z",
        "timeline": [{"step": "accepted", "at_s": 0.0}],
    }


# Who waits for an offer


def request(name: str, now: float, size: int = 2) -> SessionRequest:
    return SessionRequest(new_session(name, now), b"x" * size)


async def test_a_request_is_found_until_its_offer_comes():
    requests = Requests(ttl_s=60)
    waiting = request("a", now=0)
    requests.add(waiting, now=0)
    assert requests.get(SessionId("a"), now=60) is waiting
    requests.remove(SessionId("a"))
    requests.remove(SessionId("a"))
    assert requests.get(SessionId("a"), now=60) is None
    assert requests.size_bytes == 0


async def test_a_request_expires():
    requests = Requests(ttl_s=60)
    waiting = request("a", now=0)
    requests.add(waiting, now=0)
    requests.add(request("b", now=30), now=30)
    assert requests.get(SessionId("a"), now=60.5) is None
    assert requests.get(SessionId("b"), now=60.5) is not None
    assert waiting.session.ending == Ending(EndReason.NEVER_CONNECTED)


async def test_the_number_of_requests_is_bounded_and_the_oldest_give_way():
    requests = Requests(ttl_s=60, max_requests=3)
    for number in range(10):
        requests.add(request(str(number), now=0), now=0)
    assert len(requests) == 3
    assert requests.get(SessionId("6"), now=0) is None
    assert requests.get(SessionId("7"), now=0) is not None


async def test_the_bytes_of_requests_are_bounded():
    requests = Requests(ttl_s=60, max_bytes=1000)
    for number in range(10):
        requests.add(request(str(number), now=0, size=400), now=0)
        assert requests.size_bytes <= 1000
    assert len(requests) == 2


async def test_all_requests_can_be_dropped_for_a_reason():
    requests = Requests(ttl_s=60)
    waiting = request("a", now=0)
    requests.add(waiting, now=0)
    requests.clear(Ending(EndReason.DRAINED), now=1)
    assert len(requests) == 0
    assert waiting.session.ending == Ending(EndReason.DRAINED)


# Who is live


async def test_a_live_session_is_found_by_id_and_by_all_its_connections():
    registry, session = Registry(), new_session()
    registry.add(session)
    for connection_id in ("pc-1", "pc-2", "pc-1"):
        registry.bind(session, connection_id)
    assert registry.get(SessionId("a")) is session
    assert registry.get_by_connection("pc-1") is registry.get_by_connection("pc-2") is session
    assert list(registry) == [session]
    assert len(registry) == 1


async def test_an_ended_session_is_not_found_and_binds_nothing():
    registry, session = Registry(), new_session()
    registry.add(session)
    registry.bind(session, "pc-1")
    registry.remove(session)
    registry.remove(session)
    registry.bind(session, "pc-2")
    assert registry.get(SessionId("a")) is None
    assert registry.get_by_connection("pc-1") is None
    assert registry.get_by_connection("pc-2") is None


async def test_a_session_keeps_a_bounded_number_of_connections():
    registry, session = Registry(), new_session()
    registry.add(session)
    for number in range(100):
        registry.bind(session, f"pc-{number}")
    assert len(session.connection_ids) == sessions.MAX_CONNECTION_IDS
    assert registry.get_by_connection("pc-0") is None
    assert registry.get_by_connection("pc-99") is session

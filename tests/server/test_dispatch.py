"""The story of a session, told through the doors with workers that behave as real ones do."""

import gc
import tracemalloc
from signal import SIGSEGV

import anyio
import pytest
from tests.server.fakes import ANSWER, FakePool, dies_at_offer, mute, opened, polite

from offhook.channel import ChannelFullError
from offhook.protocol.control import Answered, CloseSession, Offer, StartBot
from offhook.protocol.endings import Ending, EndReason
from offhook.server import dispatch
from offhook.server.dispatch import Dispatcher

SOON = 0.05


async def ended_reasons(office) -> list[object]:
    return [session["end_reason"] for session in await office.sessions(ended=100)]


def refuses(problem: str, *, is_peer_fault: bool):
    def behave(worker, message):
        match message:
            case Offer(request=request):
                worker.say(Answered(request=request, problem=problem, is_peer_fault=is_peer_fault))
            case _:
                polite(worker, message)

    return behave


# One session


async def test_an_offer_is_answered_by_a_worker_of_its_own():
    async with opened() as office:
        for number in range(3):
            response = await office.offer()
            assert response.status_code == 200
            assert response.json() == {
                "sdp": ANSWER,
                "type": "answer",
                "pc_id": f"pc-{10_000 + number}-1",
            }
        sessions = await office.sessions()
    assert [session["pid"] for session in sessions] == [10_000, 10_001, 10_002]
    assert [session["id"] for session in sessions] == office.pool.leased_for
    assert {session["state"] for session in sessions} == {"connecting"}


async def test_the_worker_is_told_what_to_run_before_it_gets_the_offer():
    async with opened() as office:
        await office.offer(request_data={"name": "Ada"})
        start, offer = office.pool.last.got
    assert isinstance(start, StartBot)
    assert start.body == b'{"name":"Ada"}'
    assert isinstance(offer, Offer)
    assert offer.restart_pc is False
    assert offer.pc_id is None


async def test_the_timeline_has_the_steps_of_the_start():
    async with opened() as office:
        await office.offer()
        (session,) = await office.sessions()
    assert [step["step"] for step in session["timeline"]] == [
        "accepted",
        "admitted",
        "worker_leased",
        "answer_sent",
    ]


async def test_a_session_that_was_requested_starts_with_its_offer():
    async with opened() as office:
        session_id = await office.start(body={"name": "Ada"})
        assert (await office.show(session_id))["state"] == "requested"
        assert office.pool.leased_for == []
        assert await office.sessions() == []
        response = await office.offer(f"/sessions/{session_id}/api/offer")
        assert response.status_code == 200
        assert office.pool.leased_for == [session_id]
        assert office.pool.last.got[0].body == b'{"name":"Ada"}'
        assert (await office.show(session_id))["state"] == "connecting"


async def test_what_comes_with_the_offer_goes_before_what_came_with_the_start():
    async with opened() as office:
        session_id = await office.start(body={"name": "Ada"})
        await office.offer(f"/sessions/{session_id}/api/offer", requestData={"name": "Grace"})
        assert office.pool.last.got[0].body == b'{"name":"Grace"}'


async def test_an_ended_session_is_remembered_and_its_line_is_free():
    async with opened(max_sessions=1) as office:
        await office.offer()
        office.pool.last.end("client_left")
        await office.settle()
        assert await office.sessions() == []
        (session,) = await office.sessions(ended=1)
        assert session["end_reason"] == "client_left"
        assert session["end_words"] == "The caller hung up."
        assert (await office.offer()).status_code == 200


# Reconnecting


async def test_a_known_connection_renegotiates_on_its_worker():
    async with opened() as office:
        pc_id = (await office.offer()).json()["pc_id"]
        again = await office.offer(pc_id=pc_id)
        assert again.json()["pc_id"] == pc_id
        assert len(office.pool.workers) == 1
        assert office.pool.last.got[-1].restart_pc is False
        assert office.pool.last.got[-1].pc_id == pc_id


async def test_a_restart_swaps_the_connection_and_both_ids_lead_to_the_session():
    async with opened() as office:
        old = (await office.offer()).json()["pc_id"]
        new = (await office.offer(pc_id=old, restart_pc=True)).json()["pc_id"]
        assert new != old
        assert office.pool.last.got[-1].restart_pc is True
        for pc_id in (old, new):
            assert (await office.offer(pc_id=pc_id)).status_code == 200
        assert len(office.pool.workers) == 1


@pytest.mark.parametrize("members", [{}, {"pc_id": "pc-unknown"}, {"restart_pc": True}])
async def test_a_client_that_comes_back_to_its_session_anew_meets_the_same_bot(members):
    async with opened() as office:
        session_id = await office.start()
        path = f"/sessions/{session_id}/api/offer"
        await office.offer(path)
        assert (await office.offer(path, **members)).status_code == 200
        assert len(office.pool.workers) == 1
        assert office.pool.last.got[-1].restart_pc is True
        assert office.pool.last.got[-1].pc_id is None


async def test_an_unknown_connection_begins_a_session():
    async with opened() as office:
        assert (await office.offer(pc_id="pc-unknown", restart_pc=True)).status_code == 200
        assert len(office.pool.workers) == 1


async def test_a_restart_after_the_end_learns_why_it_ended():
    async with opened() as office:
        pc_id = (await office.offer()).json()["pc_id"]
        office.pool.last.exit(signal=SIGSEGV)
        await office.settle()
        gone = await office.offer(pc_id=pc_id, restart_pc=True)
        assert gone.status_code == 410
        assert gone.json()["code"] == "session_ended"
        assert gone.json()["detail"] == "The bot crashed (signal SIGSEGV)."
        assert (await office.offer(pc_id=pc_id)).status_code == 200


async def test_an_offer_to_an_ended_session_learns_why_it_ended():
    async with opened() as office:
        session_id = await office.start()
        path = f"/sessions/{session_id}/api/offer"
        await office.offer(path)
        office.pool.last.end("bot_crashed", "ValueError")
        await office.settle()
        gone = await office.offer(path, restart_pc=True)
        assert gone.status_code == 410
        assert gone.json()["detail"] == "The bot crashed (ValueError)."


async def test_an_offer_to_a_session_that_is_ending_is_not_taken():
    async with opened(FakePool(behave=mute_when_asked)) as office:
        session_id = await office.start()
        path = f"/sessions/{session_id}/api/offer"
        await office.offer(path)
        async with anyio.create_task_group() as group:
            group.start_soon(office.client.delete, f"/sessions/{session_id}")
            await office.settle()
            assert (await office.offer(path)).status_code == 410
            office.pool.last.end("stopped_by_operator")


def mute_when_asked(worker, message):
    if not isinstance(message, CloseSession):
        polite(worker, message)


async def test_two_first_offers_at_once_start_one_bot():
    async with opened(FakePool(gate=anyio.Event())) as office:
        session_id = await office.start()
        statuses: list[int] = []

        async def offer() -> None:
            response = await office.offer(f"/sessions/{session_id}/api/offer")
            statuses.append(response.status_code)

        async with anyio.create_task_group() as group:
            group.start_soon(offer)
            group.start_soon(offer)
            await office.settle()
            office.pool.gate.set()
        assert statuses == [200, 200]
        assert len(office.pool.workers) == 1


async def test_an_answer_of_a_renegotiation_that_fails_spares_the_session():
    async with opened() as office:
        pc_id = (await office.offer()).json()["pc_id"]
        office.pool.last.behave = refuses("no common codec", is_peer_fault=True)
        response = await office.offer(pc_id=pc_id)
        assert response.status_code == 400
        assert len(await office.sessions()) == 1


# Failing to start


@pytest.mark.parametrize(
    ("behave", "detail"),
    [
        (dies_at_offer(signal=SIGSEGV), "The bot crashed (signal SIGSEGV)."),
        (dies_at_offer(exit_code=3), "The bot crashed (exit code 3)."),
        (lambda worker, _: worker.exit(exit_code=1), "The bot crashed (exit code 1)."),
        (lambda worker, _: worker.end("bot_finished"), "The bot ended the conversation."),
    ],
)
async def test_a_worker_that_dies_before_its_answer_is_explained_and_frees_its_line(behave, detail):
    async with opened(FakePool(behave=behave), max_sessions=1) as office:
        for _ in range(3):
            response = await office.offer()
            assert response.status_code == 502
            assert response.json()["code"] == "bot_failed"
            assert response.json()["detail"] == detail
            assert response.headers["retry-after"]
        assert await office.sessions() == []


async def test_a_worker_that_never_answers_is_ended_and_the_client_told():
    async with opened(FakePool(behave=mute), start_timeout_s=SOON, close_timeout_s=SOON) as office:
        response = await office.offer()
        assert response.status_code == 504
        assert response.json()["code"] == "answer_timeout"
        while await office.sessions():
            await office.settle()
        assert office.pool.last.killed == 1
        assert await ended_reasons(office) == ["bot_unresponsive"]


@pytest.mark.parametrize(
    ("is_peer_fault", "status", "reason"),
    [(True, 400, "bad_offer"), (False, 502, "bot_unresponsive")],
)
async def test_an_offer_that_the_worker_cannot_answer_ends_the_session(
    is_peer_fault, status, reason
):
    behave = refuses("no port is free", is_peer_fault=is_peer_fault)
    async with opened(FakePool(behave=behave)) as office:
        response = await office.offer()
        assert response.status_code == status
        assert response.json()["detail"] == "no port is free"
        await office.settle()
        assert await ended_reasons(office) == [reason]


async def test_a_worker_that_does_not_read_is_a_failure_in_words():
    def full(_worker, _message):
        raise ChannelFullError("the peer has stopped reading its channel")

    async with opened(FakePool(behave=full), close_timeout_s=SOON) as office:
        response = await office.offer()
        assert response.status_code == 502
        assert response.json()["code"] == "channel_full"


async def test_no_worker_in_time_is_said_and_the_line_is_free():
    async with opened(FakePool(is_up=False), max_sessions=1) as office:
        for _ in range(2):
            response = await office.offer()
            assert response.status_code == 503
            assert response.json()["code"] == "no_worker"
        assert await ended_reasons(office) == ["no_worker", "no_worker"]


async def test_a_pool_with_a_bug_frees_the_line():
    class BrokenPool(FakePool):
        async def lease(self, **_):
            raise ZeroDivisionError

    async with opened(BrokenPool(), max_sessions=1) as office:
        for _ in range(2):
            assert (await office.offer()).status_code == 500
        assert await office.sessions() == []


async def test_a_client_that_goes_away_while_it_waits_for_a_worker_leaves_nothing():
    async with opened(FakePool(gate=anyio.Event()), max_sessions=1) as office:
        async with anyio.create_task_group() as group:
            group.start_soon(office.offer)
            await office.settle()
            assert len(await office.sessions()) == 1
            group.cancel_scope.cancel()
        assert await office.sessions() == []
        assert await ended_reasons(office) == ["client_left"]


async def test_a_client_that_goes_away_while_it_waits_for_the_answer_ends_its_bot():
    def answers_nothing(worker, message):
        if isinstance(message, CloseSession):
            worker.end(message.reason)

    async with opened(FakePool(behave=answers_nothing)) as office:
        async with anyio.create_task_group() as group:
            group.start_soon(office.offer)
            await office.settle()
            group.cancel_scope.cancel()
        await office.settle()
        assert await ended_reasons(office) == ["client_left"]


async def test_a_client_that_has_gone_when_the_answer_comes_ends_its_bot():
    async with opened() as office:
        await office.offer()
        dispatcher: Dispatcher = office.app.state.dispatcher
        dispatcher.abandon(office.pool.leased_for[0])
        dispatcher.abandon("local~unknown")
        await office.settle()
        assert await ended_reasons(office) == ["client_left"]


async def test_a_bug_in_one_session_ends_that_session_only():
    async with opened() as office:
        await office.offer()
        await office.offer()
        broken, fine = office.pool.workers
        broken.fail_receiving(ZeroDivisionError())
        await office.settle()
        assert [session["pid"] for session in await office.sessions()] == [fine.pid]
        assert broken.killed == 1
        assert await ended_reasons(office) == ["bot_unresponsive"]


# Admission


async def test_the_limit_is_exact_when_all_start_at_once():
    async with opened(FakePool(gate=anyio.Event()), max_sessions=5) as office:
        statuses: list[int] = []

        async def offer() -> None:
            statuses.append((await office.offer()).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(offer)
            await office.settle()
            assert len(await office.sessions()) == 5
            office.pool.gate.set()
        assert sorted(statuses) == [200] * 5 + [429] * 15
        assert len(office.pool.workers) == 5


async def test_a_full_server_keeps_the_request_for_another_try():
    async with opened(max_sessions=1) as office:
        session_id = await office.start()
        await office.offer()
        refused = await office.offer(f"/sessions/{session_id}/api/offer")
        assert refused.status_code == 429
        assert refused.headers["retry-after"]
        office.pool.last.end("client_left")
        await office.settle()
        assert (await office.offer(f"/sessions/{session_id}/api/offer")).status_code == 200


# Asking for sessions that are not there


async def test_10000_abandoned_requests_leave_no_memory():
    async with opened() as office:
        dispatcher: Dispatcher = office.app.state.dispatcher

        def abandon(count: int) -> int:
            for _ in range(count):
                dispatcher.request(b'"' + b"x" * 1000 + b'"')
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = abandon(1_500)
            after = abandon(10_000)
        finally:
            tracemalloc.stop()
        assert after - before < 200_000
        office.clock.hands += 61
        assert (await office.client.get(f"/sessions/{await office.start()}")).status_code == 200


async def test_a_request_expires():
    async with opened(request_ttl_s=60) as office:
        session_id = await office.start()
        office.clock.hands += 61
        response = await office.offer(f"/sessions/{session_id}/api/offer")
        assert response.status_code == 404
        assert response.json()["code"] == "unknown_session"
        assert office.pool.leased_for == []


async def test_a_request_expires_although_nobody_asks_for_it(monkeypatch):
    monkeypatch.setattr(dispatch, "EXPIRY_INTERVAL_S", 0.01)
    async with opened(request_ttl_s=60) as office:
        session_id = await office.start()
        session = office.app.state.dispatcher.find(session_id)
        office.clock.hands += 61
        await session.changed()
        assert session.ending == Ending(EndReason.NEVER_CONNECTED)


# Ending


async def test_a_request_can_be_ended_before_its_offer():
    async with opened() as office:
        session_id = await office.start()
        await office.app.state.dispatcher.end(session_id, EndReason.STOPPED_BY_OPERATOR)
        assert (await office.offer(f"/sessions/{session_id}/api/offer")).status_code == 404


async def test_the_end_of_the_server_ends_all_sessions_politely_and_refuses_new_ones():
    async with opened() as office:
        waiting = await office.start()
        for _ in range(3):
            await office.offer()
        await office.app.state.dispatcher.aclose(EndReason.DRAINED, grace_s=5)
        assert await office.sessions() == []
        assert await ended_reasons(office) == ["drained"] * 3
        assert not any(worker.killed for worker in office.pool.workers)
        for refused in (
            await office.offer(),
            await office.client.post("/start"),
        ):
            assert refused.status_code == 503
            assert refused.json()["code"] == "draining"
            assert refused.headers["retry-after"]
        assert (await office.offer(f"/sessions/{waiting}/api/offer")).status_code == 404
        assert (await office.client.get("/health/ready")).status_code == 503


async def test_the_end_of_the_server_is_bounded_whatever_workers_do():
    def deaf(worker, message):
        if not isinstance(message, CloseSession):
            polite(worker, message)

    async with opened(FakePool(behave=deaf)) as office:
        await office.offer()
        with anyio.fail_after(5):
            await office.app.state.dispatcher.aclose(EndReason.DRAINED, grace_s=SOON)
        assert await ended_reasons(office) == ["drained"]


async def test_a_session_that_gets_its_worker_when_the_server_ends_does_not_start():
    async with opened(FakePool(gate=anyio.Event())) as office:
        async with anyio.create_task_group() as group:

            async def refused() -> None:
                assert (await office.offer()).status_code == 503

            group.start_soon(refused)
            await office.settle()
            group.start_soon(office.app.state.dispatcher.aclose)
            await office.settle()
            office.pool.gate.set()
        assert not office.pool.last.messages(StartBot)
        assert await ended_reasons(office) == ["drained"]


async def test_a_server_that_is_torn_down_leaves_no_worker():
    async with opened(FakePool(behave=mute_when_asked)) as office:
        await office.offer()
        worker = office.pool.last
    assert worker.killed == 1

"""Offers and replies are paired by number, and no one waits for ever."""

import anyio
import pytest
from tests.server.fakes import FakeWorker, mute

from offhook.channel import ChannelFullError
from offhook.errors import BadOfferError, WorkerError
from offhook.protocol.control import Answered, Candidates, IceCandidate, Offer
from offhook.server.handoff.signaling import AnswerFailedError, AnswerTimeoutError, Signaling

CANDIDATE = IceCandidate(candidate="", sdp_mid="0", sdp_mline_index=0)


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker(1, mute)


async def offer(signaling: Signaling, sdp: str = "offer", timeout_s: float = 5.0) -> Answered:
    return await signaling.offer(sdp, pc_id=None, restart_pc=False, timeout_s=timeout_s)


async def test_replies_find_who_waits_for_them_in_any_order(worker):
    signaling, answers = Signaling(worker), {}

    async def ask(sdp: str) -> None:
        answers[sdp] = (await offer(signaling, sdp)).sdp

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "first")
        group.start_soon(ask, "second")
        await anyio.wait_all_tasks_blocked()
        for sent in reversed(worker.messages(Offer)):
            signaling.receive(Answered(request=sent.request, sdp=f"to {sent.sdp}", pc_id="pc"))

    assert answers == {"first": "to first", "second": "to second"}


async def test_an_offer_carries_what_the_worker_must_know(worker):
    signaling = Signaling(worker)
    with pytest.raises(AnswerTimeoutError):
        await signaling.offer("sdp", pc_id="pc-1", restart_pc=True, timeout_s=0.01)
    assert worker.got == [Offer(request=1, sdp="sdp", pc_id="pc-1", restart_pc=True)]


async def test_a_late_or_unknown_reply_is_dropped(worker):
    signaling = Signaling(worker)
    with pytest.raises(AnswerTimeoutError, match=r"within 0\.01 s"):
        await offer(signaling, timeout_s=0.01)
    signaling.receive(Answered(request=1, sdp="late", pc_id="pc"))
    signaling.receive(Answered(request=99, sdp="unknown", pc_id="pc"))


@pytest.mark.parametrize(
    ("is_peer_fault", "error"), [(True, BadOfferError), (False, AnswerFailedError)]
)
async def test_a_problem_is_blamed_on_whose_fault_it_was(worker, is_peer_fault, error):
    signaling = Signaling(worker)
    async with anyio.create_task_group() as group:

        async def reply() -> None:
            await anyio.wait_all_tasks_blocked()
            signaling.receive(Answered(request=1, problem="no port", is_peer_fault=is_peer_fault))

        group.start_soon(reply)
        with pytest.raises(error, match="no port"):
            await offer(signaling)


async def test_who_waits_is_told_that_no_answer_will_come(worker):
    signaling = Signaling(worker)
    async with anyio.create_task_group() as group:

        async def fail() -> None:
            await anyio.wait_all_tasks_blocked()
            signaling.fail(WorkerError("it crashed"))

        group.start_soon(fail)
        with pytest.raises(WorkerError, match="it crashed"):
            await offer(signaling)
    with pytest.raises(WorkerError, match="it crashed"):
        await offer(signaling)


async def test_a_worker_that_has_gone_is_explained_by_who_listens_to_it(worker):
    worker.exit(1)
    signaling = Signaling(worker)
    async with anyio.create_task_group() as group:

        async def fail() -> None:
            await anyio.wait_all_tasks_blocked()
            signaling.fail(WorkerError("exit code 1"))

        group.start_soon(fail)
        with pytest.raises(WorkerError, match="exit code 1"):
            await offer(signaling)


async def test_a_worker_that_does_not_read_fails_the_offer_at_once():
    def full(_worker, _message):
        raise ChannelFullError("the peer has stopped reading its channel")

    with pytest.raises(ChannelFullError):
        await offer(Signaling(FakeWorker(1, full)))


async def test_candidates_are_passed_on(worker):
    Signaling(worker).add_ice_candidates([CANDIDATE])
    assert worker.got == [Candidates(candidates=(CANDIDATE,))]

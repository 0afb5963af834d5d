"""The pool's rules: arithmetic, no process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.ids import WorkerId
from offhook.server.pool.state import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MAX_STARTING,
    START_QUIET_S,
    START_TIMEOUT_S,
    TRANSITIONS,
    Closed,
    Event,
    Grant,
    Instruction,
    Kill,
    LeaseAbandoned,
    LeaseWanted,
    Phase,
    PoolState,
    RequestId,
    Spawn,
    TemplateDown,
    TemplateUp,
    Ticked,
    WorkerBooted,
    WorkerExited,
)

W1, W2, W3 = WorkerId("w1"), WorkerId("w2"), WorkerId("w3")
R1, R2 = RequestId(1), RequestId(2)


class Play:
    """A pool whose clock stands still unless it is moved."""

    def __init__(self, *, warm: int) -> None:
        self.state = PoolState(warm=warm)
        self.now = 100.0

    def later(self) -> list[Instruction]:
        """What happens once a start has been left in peace."""
        self.now += START_QUIET_S
        return self(Ticked())

    def __call__(self, *events: Event) -> list[Instruction]:
        return [i for event in events for i in self.state.handle(event, now=self.now)]


def test_nothing_is_spawned_before_there_is_a_template() -> None:
    play = Play(warm=2)
    assert play(Ticked()) == []
    assert play(TemplateUp(1)) == [Spawn(W1, rehearse=True), Spawn(W2, rehearse=True)]
    assert play(Ticked()) == []


def test_a_warm_worker_is_granted_at_once_and_replaced() -> None:
    play = Play(warm=1)
    play(TemplateUp(1), WorkerBooted(W1))
    assert play(LeaseWanted(R1)) == [Grant(R1, W1)]
    assert play.state.count(Phase.LEASED) == 1
    assert play.later() == [Spawn(W2, rehearse=True)]


def test_a_start_is_left_in_peace_for_a_moment_before_the_next_worker_is_made() -> None:
    play = Play(warm=2)
    play(TemplateUp(1), WorkerBooted(W1), WorkerBooted(W2), LeaseWanted(R1))
    assert play(Ticked()) == []
    assert play.state.wake_at() == play.now + START_QUIET_S


def test_who_has_to_wait_for_a_worker_ends_that_peace() -> None:
    play = Play(warm=1)
    play(TemplateUp(1), WorkerBooted(W1), LeaseWanted(R1))
    assert play(LeaseWanted(R2)) == [Spawn(W2, rehearse=False), Spawn(W3, rehearse=True)]


def test_a_worker_that_somebody_waits_for_does_not_rehearse() -> None:
    play = Play(warm=0)
    assert play(TemplateUp(1)) == []
    assert play(LeaseWanted(R1)) == [Spawn(W1, rehearse=False)]
    assert play(WorkerBooted(W1)) == [Grant(R1, W1)]


def test_those_who_wait_are_served_in_the_order_of_asking() -> None:
    play = Play(warm=0)
    play(TemplateUp(1), LeaseWanted(R1), LeaseWanted(R2))
    assert play(WorkerBooted(W2)) == [Grant(R1, W2)]
    assert play(WorkerBooted(W1)) == [Grant(R2, W1)]


def test_who_gives_up_waiting_is_not_granted_anything() -> None:
    play = Play(warm=0)
    play(TemplateUp(1), LeaseWanted(R1), LeaseAbandoned(R1), LeaseAbandoned(R2))
    assert play(WorkerBooted(W1)) == []
    assert play(LeaseWanted(R2)) == [Grant(R2, W1)]


def test_no_more_than_a_few_boot_at_the_same_time() -> None:
    play = Play(warm=0)
    play(TemplateUp(1))
    spawned = play(*[LeaseWanted(RequestId(n)) for n in range(20)])
    assert len(spawned) == MAX_STARTING
    assert play(WorkerBooted(W1)) == [
        Grant(RequestId(0), W1),
        Spawn(WorkerId("w5"), rehearse=False),
    ]


def test_a_new_template_replaces_the_idle_workers_and_spares_the_leased() -> None:
    play = Play(warm=1)
    play(TemplateUp(1), WorkerBooted(W1), LeaseWanted(R1))
    play.later()
    play(WorkerBooted(W2))
    assert play(TemplateUp(2)) == [Kill(W2), Spawn(W3, rehearse=True)]
    assert play.state.count(Phase.LEASED) == 1


def test_a_stale_worker_is_not_granted_while_it_is_being_killed() -> None:
    play = Play(warm=1)
    play(TemplateUp(1), WorkerBooted(W1), TemplateUp(2))
    assert play(LeaseWanted(R1)) == [Spawn(W3, rehearse=True)]


def test_a_worker_that_boots_while_it_is_being_killed_stays_killed() -> None:
    play = Play(warm=1)
    play(TemplateUp(1), Closed())
    assert play(WorkerBooted(W1)) == []
    assert play.state.count(Phase.IDLE) == 0


def test_a_worker_that_does_not_boot_in_time_is_killed_and_replaced() -> None:
    play = Play(warm=1)
    play(TemplateUp(1))
    assert play.state.wake_at() == play.now + START_TIMEOUT_S
    play.now += START_TIMEOUT_S
    assert play(Ticked()) == [Kill(W1), Spawn(W2, rehearse=True)]
    assert play(WorkerExited(W1)) == []


def test_workers_that_fail_to_boot_in_a_row_are_made_with_growing_pauses() -> None:
    play = Play(warm=1)
    play(TemplateUp(1))
    assert play(WorkerExited(W1)) == [Spawn(W2, rehearse=True)]
    assert play(WorkerExited(W2)) == []
    assert not play.state.is_ready
    assert play.state.wake_at() == play.now + FIRST_PAUSE_S
    play.now += FIRST_PAUSE_S
    assert play(Ticked()) == [Spawn(W3, rehearse=True)]
    assert play(WorkerExited(W3)) == []
    assert play.state.wake_at() == play.now + 2 * FIRST_PAUSE_S


def test_a_pause_never_exceeds_its_limit() -> None:
    play = Play(warm=1)
    play(TemplateUp(1))
    for number in range(1, 40):
        play(WorkerExited(WorkerId(f"w{number}")))
        wake_at = play.state.wake_at()
        assert wake_at is not None
        assert wake_at - play.now <= max(LONGEST_PAUSE_S, START_TIMEOUT_S)
        play.now = wake_at
        play(Ticked())


def test_one_that_boots_ends_the_row_of_failures() -> None:
    play = Play(warm=1)
    play(TemplateUp(1), WorkerExited(W1), WorkerBooted(W2))
    assert play(WorkerExited(W2)) == [Spawn(W3, rehearse=True)]
    assert play(WorkerExited(W3)) == [Spawn(WorkerId("w4"), rehearse=True)]


def test_without_a_template_the_idle_ones_still_serve() -> None:
    play = Play(warm=1)
    play(TemplateUp(1), WorkerBooted(W1), TemplateDown())
    assert play.state.is_ready
    assert play(LeaseWanted(R1)) == [Grant(R1, W1)]
    assert not play.state.is_ready
    assert play(LeaseWanted(R2)) == []
    assert play(TemplateUp(2)) == [Spawn(W2, rehearse=False), Spawn(W3, rehearse=True)]


def test_closing_kills_who_has_no_session_and_makes_nobody() -> None:
    play = Play(warm=1)
    play(TemplateUp(1), WorkerBooted(W1), LeaseWanted(R1))
    play.later()
    assert play(Closed()) == [Kill(W2)]
    assert play(WorkerExited(W1), WorkerExited(W2), WorkerExited(W2)) == []
    assert not play.state.is_ready
    assert play.state.wake_at() is None


def test_what_is_not_in_the_table_cannot_happen() -> None:
    assert TRANSITIONS[Phase.EXITED] == set()
    play = Play(warm=1)
    play(TemplateUp(1), WorkerBooted(W1), LeaseWanted(R1))
    assert play(WorkerBooted(W1)) == []
    assert play.state.count(Phase.LEASED) == 1


def something(choice: int, number: int, alive: list[WorkerId]) -> Event:
    """One of the things that can happen; a worker that exits is no longer alive."""
    if choice <= 1:
        return LeaseWanted(RequestId(number))
    if choice == 2:
        return TemplateUp(number)
    if choice == 3:
        return LeaseAbandoned(RequestId(number - 1))
    if choice in {4, 5} and alive:
        return WorkerBooted(alive[choice % len(alive)])
    if choice == 6 and alive:
        return WorkerExited(alive.pop(0))
    return Ticked()


@pytest.mark.parametrize("warm", [0, 1, 3])
@given(choices=st.lists(st.integers(0, 7), max_size=60))
def test_whatever_happens_each_worker_is_granted_once_and_each_request_served_once(
    warm: int, choices: list[int]
) -> None:
    play = Play(warm=warm)
    alive: list[WorkerId] = []
    granted: list[Grant] = []
    for number, choice in enumerate(choices):
        play.now += 0.3
        for instruction in play(something(choice, number, alive)):
            match instruction:
                case Spawn(worker):
                    alive.append(worker)
                case Grant():
                    granted.append(instruction)
                case Kill(worker):
                    assert worker in alive
        assert play.state.count(Phase.STARTING) <= MAX_STARTING
    assert len({each.worker for each in granted}) == len(granted)
    assert len({each.request for each in granted}) == len(granted)

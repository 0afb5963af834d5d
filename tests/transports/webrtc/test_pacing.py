"""The pace of outgoing audio, on a clock held by the test."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.transports.webrtc.pacing import Frame, Outgoing, Pacer, RunEnded, RunStarted

FRAME_BYTES = 4
FRAME_S = 0.02
SILENCE = bytes(FRAME_BYTES)


class Line:
    """A pacer, a clock, and all that has left."""

    def __init__(self) -> None:
        self.pacer = Pacer(frame_bytes=FRAME_BYTES)
        self.now = 100.0
        self.left: list[tuple[float, Outgoing]] = []

    def poll(self) -> None:
        self.left += [(self.now, item) for item in self.pacer.poll(now=self.now)]

    def open(self) -> None:
        self.pacer.open(now=self.now)
        self.poll()

    def say(self, frames: int, mark: bytes = b"abcd") -> None:
        self.pacer.push(mark * frames)
        self.poll()

    def until(self, then: float) -> None:
        while (deadline := self.pacer.deadline) is not None and deadline <= then:
            self.now = max(self.now, deadline)
            self.poll()
        self.now = then

    @property
    def frames(self) -> list[tuple[float, Frame]]:
        return [(at, item) for at, item in self.left if isinstance(item, Frame)]

    @property
    def audio(self) -> list[tuple[float, Frame]]:
        return [(at, frame) for at, frame in self.frames if frame.pcm != SILENCE]

    @property
    def runs(self) -> list[tuple[float, type]]:
        return [(at, type(item)) for at, item in self.left if not isinstance(item, Frame)]


@pytest.fixture
def line() -> Line:
    """Return a line whose first silence is over."""
    line = Line()
    line.open()
    line.until(101.0)
    line.left.clear()
    return line


def test_a_peer_that_connects_gets_100_ms_of_silence_so_that_it_sees_a_track():
    line = Line()
    line.open()
    line.until(105.0)
    assert [frame.pcm for _, frame in line.frames] == [SILENCE] * 5
    assert line.runs == []
    assert line.pacer.deadline is None


def test_frames_leave_exactly_every_20_ms(line):
    line.say(100)
    line.until(104.0)
    times = [at for at, _ in line.audio]
    assert times == [pytest.approx(101.0 + n * FRAME_S, abs=1e-9) for n in range(100)]


def test_a_timer_that_fires_late_does_not_move_the_pace(line):
    line.say(50)
    for number in range(50):
        line.now = 101.0 + number * FRAME_S + 0.007
        line.poll()
    assert line.audio[-1][0] == pytest.approx(101.0 + 49 * FRAME_S + 0.007)


def test_timestamps_step_by_a_frame_within_a_run(line):
    line.say(50)
    line.until(103.0)
    ticks = [frame.ticks for _, frame in line.audio]
    assert {b - a for a, b in itertools.pairwise(ticks)} == {960}


def test_timestamps_follow_the_clock_over_silence(line):
    line.say(1)
    line.until(111.0)
    line.say(1)
    first, second = line.audio
    assert second[1].ticks - first[1].ticks == 480_000
    assert first[1].is_first
    assert second[1].is_first


def test_only_the_first_frame_of_a_run_is_marked(line):
    line.say(10)
    line.until(103.0)
    assert [frame.is_first for _, frame in line.audio] == [True] + [False] * 9


def test_a_run_is_announced_when_its_first_frame_leaves_and_when_no_more_comes(line):
    line.say(5)
    line.until(105.0)
    assert [kind for _, kind in line.runs] == [RunStarted, RunEnded]
    assert line.runs[0][0] == line.audio[0][0] == 101.0
    assert line.runs[1][0] == pytest.approx(101.0 + 5 * FRAME_S + 0.1)


def test_a_run_ends_with_a_little_silence_and_then_nothing_is_scheduled(line):
    line.say(1)
    line.until(105.0)
    assert [frame.pcm for _, frame in line.frames] == [b"abcd"] + [SILENCE] * 5
    assert line.pacer.deadline is None


def test_audio_that_comes_a_little_late_leaves_at_once_and_no_delay_remains(line):
    for number in range(50):
        late = 0.03 if number == 20 else 0.0
        line.until(max(line.now, 101.0 + number * FRAME_S + late))
        line.say(1)
    times = [at for at, _ in line.audio]
    assert len(times) == 50
    assert times[20] == pytest.approx(101.0 + 20 * FRAME_S + 0.03)
    assert times[21] == pytest.approx(101.0 + 21 * FRAME_S + 0.01)
    assert times[49] == pytest.approx(101.0 + 49 * FRAME_S)
    assert len(line.runs) == 1


def live(line: Line, *, seconds: float, delay: float) -> list[float]:
    """Say a frame each 20 ms, the first one late by `delay`; return how much waited over time."""
    start = line.now
    waited = []
    for number in range(round(seconds / FRAME_S)):
        line.until(start + max(delay, number * FRAME_S))
        line.say(1)
        waited.append(line.pacer.queued_s)
    return waited


def test_live_audio_that_begins_late_catches_up(line):
    waited = live(line, seconds=10, delay=0.15)
    assert waited[20] > 0.1
    assert max(waited[-100:]) <= 0.04


def test_live_audio_in_time_is_never_touched(line):
    live(line, seconds=10, delay=0.0)
    assert len(line.audio) == 500


def test_audio_that_was_made_ahead_is_never_touched(line):
    said = 0
    while said < 500:
        while line.pacer.queued_s < 0.2:
            line.say(1)
            said += 1
        line.until(line.now + FRAME_S)
    line.until(line.now + 5)
    assert len(line.audio) == said
    assert {frame.pcm for _, frame in line.audio} == {b"abcd"}


def test_a_process_that_was_held_up_goes_on_at_its_pace_instead_of_sending_a_burst(line):
    line.say(100)
    line.until(101.1)
    sent = len(line.audio)
    line.now = 104.0
    line.poll()
    assert len(line.audio) == sent + 1
    gap = line.audio[-1][1].ticks - line.audio[-2][1].ticks
    assert gap == pytest.approx(2.9 * 48_000, abs=2 * 960)
    assert line.audio[-1][1].is_first


def test_after_a_hold_up_live_audio_is_where_it_would_have_been(line):
    live(line, seconds=2, delay=0.0)
    line.now += 0.4
    line.poll()  # the timer is the first to know
    for _ in range(20):
        line.now += 0.0005
        line.say(1)
    assert line.pacer.queued_s == 0
    assert [kind for _, kind in line.runs] == [RunStarted]


def test_after_a_hold_up_a_bot_that_has_nothing_more_to_say_comes_to_its_end(line):
    line.say(5)
    line.now += 0.4
    line.until(103.0)
    assert [kind for _, kind in line.runs] == [RunStarted, RunEnded]


def test_a_hold_up_in_the_closing_silence_is_no_burst_either(line):
    line.say(1)
    line.until(101.09)
    line.now = 102.0
    line.poll()
    assert len(line.frames) <= 3


def test_less_than_a_frame_waits_for_more_and_is_then_filled_up(line):
    line.pacer.push(b"ab")
    line.poll()
    assert line.frames == []
    line.until(105.0)
    assert line.audio[0][1].pcm == b"ab\0\0"
    assert [kind for _, kind in line.runs] == [RunStarted, RunEnded]
    assert line.pacer.queued_s == 0


def test_less_than_a_frame_is_completed_by_what_comes_next(line):
    line.pacer.push(b"ab")
    line.poll()
    line.now += 0.01
    line.pacer.push(b"cd")
    line.poll()
    assert line.audio[0][1].pcm == b"abcd"


def test_flushed_audio_never_leaves_and_the_run_ends_at_once(line):
    line.say(100)
    line.until(101.1)
    sent = len(line.audio)
    line.pacer.flush()
    line.poll()
    line.until(105.0)
    assert len(line.audio) == sent
    assert line.runs[-1][1] is RunEnded
    assert line.runs[-1][0] <= 101.1 + FRAME_S
    assert line.pacer.queued_s == 0


def test_new_audio_after_a_flush_goes_on_without_a_second_announcement_if_it_is_in_time(line):
    line.say(10)
    line.until(101.05)
    line.pacer.flush()
    line.pacer.push(b"wxyz" * 3)
    line.until(105.0)
    assert [frame.pcm for _, frame in line.audio][-3:] == [b"wxyz"] * 3
    assert [kind for _, kind in line.runs] == [RunStarted, RunEnded]


def test_audio_in_the_closing_silence_begins_a_new_run_on_the_same_grid(line):
    line.say(1)
    line.until(101.17)
    line.say(5)
    line.until(103.0)
    assert [kind for _, kind in line.runs] == [RunStarted, RunEnded] * 2
    ticks = [frame.ticks for _, frame in line.frames]
    assert all(b - a >= 960 for a, b in itertools.pairwise(ticks))


def test_while_nobody_is_there_audio_is_kept_and_sent_when_somebody_is():
    line = Line()
    line.say(5)
    assert line.pacer.deadline is None
    line.until(130.0)
    assert line.left == []
    line.open()
    line.until(135.0)
    assert len(line.audio) == 5
    assert line.audio[0][0] >= 130.0


def test_a_peer_that_goes_away_in_the_middle_leaves_the_rest_for_the_next(line):
    line.say(50)
    line.until(101.2)
    sent = len(line.audio)
    assert line.pacer.close() == [RunEnded()]
    line.until(110.0)
    assert len(line.audio) == sent
    line.open()
    line.until(115.0)
    assert len(line.audio) == 50
    ticks = [frame.ticks for _, frame in line.frames]
    assert all(b - a >= 960 for a, b in itertools.pairwise(ticks))


def test_a_peer_that_goes_away_in_silence_ends_no_run(line):
    assert line.pacer.close() == []


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 0.3), st.integers(0, 20), st.sampled_from(["say", "flush", "poll"])
        ),
        max_size=60,
    )
)
def test_whatever_the_bot_does_time_never_runs_backwards_and_frames_never_hurry(actions):
    line = Line()
    line.open()
    for later, size, action in actions:
        line.until(line.now + later)
        if action == "say":
            line.pacer.push(b"a" * size)
        elif action == "flush":
            line.pacer.flush()
        line.poll()
    line.until(line.now + 60)
    ticks = [frame.ticks for _, frame in line.frames]
    assert all(b - a >= 960 for a, b in itertools.pairwise(ticks))
    assert line.pacer.deadline is None
    assert line.pacer.queued_s == 0
    kinds = [kind for _, kind in line.runs]
    assert kinds == [RunStarted, RunEnded] * (len(kinds) // 2)
    times = [at for at, _ in line.frames]
    for number, at in enumerate(times):
        # In any stretch of time no more leaves than fits, but for what was owed after a hiccup.
        fitting = sum(1 for other in times[number:] if other < at + 0.1)
        assert fitting <= 5 + 6

"""The jitter buffer: arithmetic on packets and times, and what holds for any network."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from offhook.transports.webrtc.jitter import (
    Conceal,
    Decode,
    JitterBuffer,
    Packet,
    Playout,
    Recover,
    Restart,
    Silence,
)

FRAME_S = 0.02
FRAME = 960


def packet(number: int, *, ssrc: int = 1, ticks: int | None = None) -> Packet:
    """Return the packet that a sender would send at `number * 20` ms."""
    place = number * FRAME if ticks is None else ticks
    return Packet(number & 0xFFFF, place & 0xFFFFFFFF, ssrc, FRAME, str(number).encode())


def played(out: list[Playout]) -> list[int]:
    """Return the numbers of the packets that were decoded."""
    return [int(item.payload) for item in out if isinstance(item, Decode)]


def length(out: list[Playout]) -> int:
    """Return how long it all plays, in frames."""
    return sum(item.ticks for item in out if not isinstance(item, Restart)) // FRAME


class Network:
    """Brings packets to a buffer at given times and lets the time pass between."""

    def __init__(self) -> None:
        self.buffer = JitterBuffer()
        self.out: list[Playout] = []
        self.at: list[float] = []

    def take(self, out: list[Playout], now: float) -> None:
        self.out += out
        self.at += [now] * len(out)

    def until(self, now: float) -> None:
        """Call `tick` at each deadline up to this time."""
        while (deadline := self.buffer.deadline) is not None and deadline <= now:
            before = deadline
            self.take(self.buffer.tick(now=deadline), deadline)
            assert self.buffer.deadline is None or self.buffer.deadline > before

    def bring(self, arrivals: list[tuple[float, Packet]], *, until: float | None = None) -> None:
        for now, item in sorted(arrivals, key=lambda arrival: arrival[0]):
            self.until(now)
            self.take(self.buffer.put(item, now=now), now)
        if until is not None:
            self.until(until)


def lateness(network: Network) -> list[float]:
    """Return how long after it was sent each packet was decoded."""
    return [
        at - int(item.payload) * FRAME_S
        for at, item in zip(network.at, network.out, strict=True)
        if isinstance(item, Decode)
    ]


def test_packets_in_order_are_handed_on_at_once():
    buffer = JitterBuffer()
    for number in range(200):
        out = buffer.put(packet(number), now=number * FRAME_S)
        assert out == [Decode(str(number).encode(), FRAME)]


def test_one_lost_packet_is_recovered_from_the_next_one_as_soon_as_that_comes():
    buffer = JitterBuffer()
    buffer.put(packet(0), now=0.0)
    assert buffer.put(packet(2), now=0.04) == [Recover(b"2", FRAME), Decode(b"2", FRAME)]
    assert buffer.counts.lost == 1


def test_a_lost_packet_leaves_no_delay_behind():
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n in range(100) if n != 40])
    assert max(lateness(network)) == 0
    assert length(network.out) == 100


def test_without_any_packet_the_stream_goes_on_fades_falls_silent_and_ends():
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n in range(10)], until=5.0)
    invented = network.out[10:]
    concealed = [item for item in invented if isinstance(item, Conceal)]
    assert [type(item) for item in invented] == [Conceal] * 6 + [Silence] * 50
    assert concealed[0].gain_from == 1.0
    assert concealed[-1].gain_to == 0.0
    assert all(a.gain_to == b.gain_from for a, b in itertools.pairwise(concealed))
    gaps = [b - a for a, b in itertools.pairwise(network.at[10:])]
    assert all(abs(gap - FRAME_S) < 1e-9 for gap in gaps)
    assert network.buffer.deadline is None


def test_a_burst_that_is_lost_is_bridged_frame_by_frame():
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n in range(60) if not 20 <= n < 40])
    assert length(network.out) == 60
    assert played(network.out) == [n for n in range(60) if not 20 <= n < 40]


def test_packets_that_swap_places_are_put_in_order():
    network = Network()
    # Every other packet is 25 ms late, so that it comes after the one behind it.
    network.bring([(n * FRAME_S + (0.025 if n % 2 else 0.0), packet(n)) for n in range(200)])
    assert played(network.out)[-100:] == list(range(100, 200))


def test_a_packet_whose_place_was_filled_is_dropped_counted_and_makes_the_buffer_wait_longer():
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n in range(20)])
    before = network.buffer.target_s
    network.bring([(20 * FRAME_S + 0.06, packet(20))])
    assert 20 not in played(network.out)
    assert network.buffer.counts.late == 1
    assert network.buffer.target_s > before + 0.03


def test_the_longer_wait_goes_away_when_the_jitter_does():
    network = Network()
    network.bring([(n * FRAME_S + (0.05 if n % 3 == 0 else 0.0), packet(n)) for n in range(100)])
    assert network.buffer.target_s > 0.03
    network.bring([(n * FRAME_S, packet(n)) for n in range(100, 300)])
    assert network.buffer.target_s == 0.010


def test_duplicates_are_dropped_and_counted():
    buffer = JitterBuffer()
    for number in range(5):
        buffer.put(packet(number), now=number * FRAME_S)
        assert buffer.put(packet(number), now=number * FRAME_S + 0.001) == []
    assert buffer.counts.duplicate == 5


def test_a_duplicate_of_a_packet_that_waits_is_dropped_too():
    network = Network()
    network.bring([(n * FRAME_S + (0.05 if n % 3 == 0 else 0.0), packet(n)) for n in range(100)])
    assert network.buffer.put(packet(101), now=100 * FRAME_S) == []
    assert network.buffer.put(packet(101), now=100 * FRAME_S + 0.001) == []
    assert network.buffer.counts.duplicate >= 1


def test_sequence_and_timestamp_wrap_around():
    buffer = JitterBuffer()
    start = 65_530
    origin = (1 << 32) - 5 * FRAME
    for number in range(20):
        item = Packet(
            (start + number) & 0xFFFF, (origin + number * FRAME) & 0xFFFFFFFF, 1, FRAME, b"x"
        )
        assert buffer.put(item, now=number * FRAME_S) == [Decode(b"x", FRAME)]
    assert buffer.counts.lost == 0


def test_another_source_restarts_the_decoder_and_is_heard_at_once():
    buffer = JitterBuffer()
    for number in range(10):
        buffer.put(packet(number), now=number * FRAME_S)
    out = buffer.put(packet(40_000, ssrc=2), now=0.2)
    assert out == [Restart(), Decode(b"40000", FRAME)]


def test_a_short_pause_of_the_sender_is_filled_and_counts_as_no_loss():
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n in range(10)])
    resumed = Packet(10, 15 * FRAME, 1, FRAME, b"10")
    network.bring([(15 * FRAME_S, resumed)])
    assert length(network.out) == 16
    assert network.buffer.counts.lost == 0


def test_after_a_long_pause_the_next_packet_is_heard_at_once():
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n in range(10)], until=20.0)
    resumed = Packet(10, 1000 * FRAME, 1, FRAME, b"10")
    assert network.buffer.put(resumed, now=20.0) == [Decode(b"10", FRAME)]


def test_a_sender_whose_timestamps_stood_still_in_its_pause_is_heard_again_in_100_ms():
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n in range(10)])
    network.bring([(0.5 + n * FRAME_S, packet(n)) for n in range(10, 60)])
    assert played(network.out)[-45:] == list(range(15, 60))


def test_a_sender_that_counts_from_anew_is_followed_after_two_packets():
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n in range(10)])
    other = [Packet(30_000 + n, 7_000_000 + n * FRAME, 1, FRAME, b"7") for n in range(5)]
    network.bring([(0.2 + n * FRAME_S, item) for n, item in enumerate(other)])
    assert played(network.out)[10:] == [7] * 4


def test_a_single_stray_packet_from_far_away_is_ignored():
    buffer = JitterBuffer()
    buffer.put(packet(0), now=0.0)
    assert buffer.put(packet(20_000), now=0.01) == []
    assert buffer.put(packet(1), now=0.02) == [Decode(b"1", FRAME)]


def test_a_jump_of_the_timestamps_is_followed_without_a_gap():
    buffer = JitterBuffer()
    buffer.put(packet(0), now=0.0)
    jumped = Packet(1, 48_000 * 60, 1, FRAME, b"1")
    assert buffer.put(jumped, now=0.02) == [Decode(b"1", FRAME)]


def test_what_waits_in_the_socket_while_the_process_was_held_up_is_not_given_up():
    buffer = JitterBuffer()
    for number in range(10):
        buffer.put(packet(number), now=number * FRAME_S)
    assert buffer.tick(now=3.0) == []
    for number in range(10, 150):
        assert played(buffer.put(packet(number), now=3.001)) == [number]
    assert buffer.counts.lost == buffer.counts.late == 0


def test_when_nothing_waits_after_a_hold_up_the_stream_goes_on():
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n in range(10)])
    assert network.buffer.tick(now=0.5) == []
    deadline = network.buffer.deadline
    assert deadline is not None
    assert deadline <= 0.54
    assert network.buffer.tick(now=deadline)


def test_jitter_up_to_30_ms_loses_nothing_once_it_is_known():
    network = Network()
    delays = [0.0, 0.030, 0.011, 0.025, 0.004, 0.017, 0.029, 0.008]
    network.bring([(n * FRAME_S + delays[n * 5 % 8], packet(n)) for n in range(400)], until=8.0)
    numbers = played(network.out)
    assert numbers == sorted(numbers)
    assert set(range(100, 400)) <= set(numbers)


def test_a_longer_way_for_all_packets_is_accepted_soon():
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n in range(50)])
    network.bring([(n * FRAME_S + 0.3, packet(n)) for n in range(50, 150)])
    assert played(network.out)[-90:] == list(range(60, 150))


def test_packets_of_60_ms_keep_their_length():
    buffer = JitterBuffer()
    for number in range(10):
        item = Packet(number, number * 2880, 1, 2880, b"0")
        assert buffer.put(item, now=number * 0.06) == [Decode(b"0", 2880)]
    lost = Packet(11, 11 * 2880, 1, 2880, b"0")
    assert buffer.put(lost, now=0.66) == [Recover(b"0", 2880), Decode(b"0", 2880)]


def test_the_clock_of_g711_has_frames_of_160_ticks():
    buffer = JitterBuffer(clock_hz=8_000)
    buffer.put(Packet(0, 0, 1, 160, b"a"), now=0.0)
    assert buffer.put(Packet(2, 320, 1, 160, b"c"), now=0.04) == [
        Recover(b"c", 160),
        Decode(b"c", 160),
    ]


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 0.25),  # delay
            st.sampled_from(["ok", "ok", "ok", "ok", "lost", "twice"]),
        ),
        min_size=1,
        max_size=150,
    )
)
def test_whatever_the_network_does_the_order_holds_and_nothing_plays_twice(fates):
    network = Network()
    arrivals = []
    for number, (delay, fate) in enumerate(fates):
        if fate != "lost":
            arrivals.append((number * FRAME_S + delay, packet(number)))
        if fate == "twice":
            arrivals.append((number * FRAME_S + delay / 2, packet(number)))
    network.bring(arrivals, until=len(fates) * FRAME_S + 10)
    numbers = played(network.out)
    assert numbers == sorted(set(numbers))
    assert network.buffer.deadline is None
    counts = network.buffer.counts
    assert counts.received == len(arrivals)
    assert len(numbers) + counts.duplicate + counts.late <= counts.received


@given(st.lists(st.booleans(), min_size=20, max_size=200))
def test_under_loss_alone_the_stream_keeps_its_length_and_its_pace(kept):
    kept = [True, *kept, True]
    network = Network()
    network.bring([(n * FRAME_S, packet(n)) for n, is_kept in enumerate(kept) if is_kept])
    assert length(network.out) == len(kept) or _has_hole_of_a_second(kept)
    assert played(network.out) == [n for n, is_kept in enumerate(kept) if is_kept]
    assert max(lateness(network)) < 1e-9


def _has_hole_of_a_second(kept: list[bool]) -> bool:
    text = "".join("x" if is_kept else "-" for is_kept in kept)
    return "-" * 50 in text


@given(
    st.lists(
        st.tuples(
            st.integers(0, 65_535),
            st.integers(0, (1 << 32) - 1),
            st.integers(1, 3),
            st.sampled_from([120, 480, 960, 2880, 5760]),
            st.floats(0.0, 1.0),
        ),
        max_size=60,
    )
)
def test_any_packets_at_any_time_are_survived(arrivals):
    buffer = JitterBuffer()
    now = 0.0
    for sequence, timestamp, ssrc, ticks, later in arrivals:
        now += later
        out = buffer.put(Packet(sequence, timestamp, ssrc, ticks, b"x"), now=now)
        out += buffer.tick(now=now + later / 2)
        assert len(out) < 500
        assert all(item.ticks > 0 for item in out if not isinstance(item, Restart))

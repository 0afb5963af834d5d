"""An adaptive jitter buffer without I/O: packets and the time go in, what to play comes out.

Packets in order are handed on at once, so a clean link adds nothing. Only a missing packet is
waited for, until a deadline that follows the jitter seen lately; then it is concealed and, should
it still come, dropped. The time at which a packet is expected is learnt from the packets
themselves, so a delay that goes away leaves nothing behind.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from offhook.transports.webrtc.rtp import FRAME_TICKS, OPUS_CLOCK_HZ, unwrap

MIN_TARGET_S: Final = 0.010
MAX_TARGET_S: Final = 0.120
MARGIN_S: Final = 0.005
WINDOW_PACKETS: Final = 100
RECKON_EVERY: Final = 10
LATE_PEAK_DECAY: Final = 0.9
PERCENTILE: Final = 0.95
CONCEAL_S: Final = 0.120
FADE_FROM_S: Final = 0.060
SILENCE_S: Final = 1.0
LARGEST_FILL_S: Final = 0.200
LAG_S: Final = 0.040
GRACE_S: Final = 0.030
STRANGE_SEQUENCES: Final = 1000
STRANGE_S: Final = 2.0
OLD_SEQUENCES: Final = 50
SHIFTED_AFTER: Final = 5
SHIFTED_OVER_S: Final = 0.060
REMEMBERED_GAPS: Final = 256


class Packet(NamedTuple):
    """What the buffer needs to know of a packet; `ticks` is how long it plays."""

    sequence: int
    timestamp: int
    ssrc: int
    ticks: int
    payload: bytes


class Decode(NamedTuple):
    """Play this packet."""

    payload: bytes
    ticks: int


class Recover(NamedTuple):
    """Play the packet before this one, which is lost, from the copy inside this one."""

    payload: bytes
    ticks: int


class Conceal(NamedTuple):
    """Invent what is missing; the loudness goes from `gain_from` to `gain_to`."""

    ticks: int
    gain_from: float
    gain_to: float


class Silence(NamedTuple):
    """Play nothing for this long."""

    ticks: int


class Restart(NamedTuple):
    """Another stream begins: the decoder forgets the past."""


Playout = Decode | Recover | Conceal | Silence | Restart


@dataclass(slots=True)
class Counts:
    """What happened so far, in packets."""

    received: int = 0
    duplicate: int = 0
    late: int = 0
    lost: int = 0
    concealed: int = 0


class JitterBuffer:
    """Puts one stream of packets in order and in time.

    Call `put` for each packet and `tick` when `deadline` has come; play what they return.
    """

    def __init__(self, *, clock_hz: int = OPUS_CLOCK_HZ) -> None:
        self._hz = clock_hz
        self._frame_ticks = FRAME_TICKS * clock_hz // OPUS_CLOCK_HZ
        self._ssrc: int | None = None
        self._next_sequence = 0
        self._next_ticks = 0
        self._held: dict[int, Packet] = {}
        self._passed_over: deque[int] = deque(maxlen=REMEMBERED_GAPS)
        self._is_idle = True
        self._invented_ticks = 0
        self._grace_until = 0.0
        self._suspect: int | None = None
        self._late_run = 0
        self._late_since = 0.0
        self._delays: deque[float] = deque(maxlen=WINDOW_PACKETS)
        self._base = 0.0
        self._target = MIN_TARGET_S
        self._late_peak = 0.0
        self.counts = Counts()

    @property
    def target_s(self) -> float:
        """How much later than the fastest packets one may come."""
        return self._target

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called; nothing while no packet is expected."""
        if self._is_idle:
            return None
        due = self._base + self._next_ticks / self._hz + self._target
        if not self._held:
            due += self._frame_ticks / self._hz  # the next packet may bring a copy of this one
        return max(due, self._grace_until)

    def put(self, packet: Packet, *, now: float) -> list[Playout]:
        """Take a packet that came at `now`."""
        out: list[Playout] = []
        self.counts.received += 1
        if packet.ssrc != self._ssrc:
            if self._ssrc is not None:
                out.append(Restart())
            self._ssrc = packet.ssrc
            self._anchor(packet.sequence, packet.timestamp)
        sequence = unwrap(packet.sequence, near=self._next_sequence, bits=16)
        ticks = unwrap(packet.timestamp, near=self._next_ticks, bits=32)
        if abs(sequence - self._next_sequence) > STRANGE_SEQUENCES:
            if self._suspect is None or sequence != self._suspect + 1:
                self._suspect = sequence
                return out
            self._anchor(sequence, ticks)
        self._suspect = None
        if self._is_old(sequence):
            self._count_old(sequence, ticks, now)
            return out
        if sequence in self._held:
            self.counts.duplicate += 1
            return out
        if self._is_idle or abs(ticks - self._next_ticks) > STRANGE_S * self._hz:
            self._anchor(sequence, ticks)
        self._observe(ticks, now)
        if self._is_late(packet, sequence, ticks, now):
            return out
        self._held[sequence] = packet._replace(sequence=sequence, timestamp=ticks)
        self._hand_on(out)
        self._give_up(now, out)
        return out

    def tick(self, *, now: float) -> list[Playout]:
        """Act on the passing of time."""
        out: list[Playout] = []
        due = self.deadline
        if due is None or now < due:
            return out
        if now - due > LAG_S:
            # We were held up ourselves: what was missing then may lie in the socket by now.
            self._grace_until = now + GRACE_S
            return out
        self._give_up(now, out)
        return out

    def _anchor(self, sequence: int, ticks: int) -> None:
        """Expect this packet next, whatever went before."""
        self._next_sequence, self._next_ticks = sequence, ticks
        self._held.clear()
        self._delays.clear()
        self._late_run = 0
        self._late_peak = 0.0
        self._target = MIN_TARGET_S
        self._is_idle = False
        self._suspect = None

    def _is_old(self, sequence: int) -> bool:
        """Whether this one's turn is over; after a pause a sender may count from anew."""
        behind = self._next_sequence - sequence
        return behind > 0 and (not self._is_idle or behind <= OLD_SEQUENCES)

    def _count_old(self, sequence: int, ticks: int, now: float) -> None:
        if sequence in self._passed_over:
            self._passed_over.remove(sequence)
            self.counts.late += 1
            self._observe(ticks, now, is_late=True)
        else:
            self.counts.duplicate += 1

    def _is_late(self, packet: Packet, sequence: int, ticks: int, now: float) -> bool:
        """Drop a packet whose time has been filled, unless all of them have become later."""
        if ticks + packet.ticks // 2 >= self._next_ticks:
            return False
        if self._late_run == 0:
            self._late_since = now
        self._late_run += 1
        if self._late_run >= SHIFTED_AFTER and now - self._late_since >= SHIFTED_OVER_S:
            self._anchor(sequence, ticks)
            self._observe(ticks, now)
            return False
        self.counts.late += 1
        self._observe(ticks, now, is_late=True)
        self._next_sequence = sequence + 1
        return True

    def _observe(self, ticks: int, now: float, *, is_late: bool = False) -> None:
        """Learn from one arrival when to expect the others."""
        delay = now - ticks / self._hz
        if not self._delays or delay < self._base:
            self._base = delay
        self._delays.append(delay)
        if is_late:
            self._late_peak = min(delay - self._base + MARGIN_S, MAX_TARGET_S)
            self._target = max(self._target, self._late_peak)
        if self.counts.received % RECKON_EVERY == 0:
            ordered = sorted(self._delays)
            self._base = ordered[0]
            usual = ordered[int(len(ordered) * PERCENTILE)] - ordered[0] + MARGIN_S
            self._late_peak *= LATE_PEAK_DECAY
            self._target = min(max(usual, self._late_peak, MIN_TARGET_S), MAX_TARGET_S)

    def _hand_on(self, out: list[Playout]) -> None:
        """Play what has its turn."""
        while (packet := self._held.pop(self._next_sequence, None)) is not None:
            self._play(packet, out)

    def _play(self, packet: Packet, out: list[Playout]) -> None:
        self._fill(packet.timestamp - self._next_ticks, out)
        out.append(Decode(packet.payload, packet.ticks))
        self._next_sequence = packet.sequence + 1
        self._next_ticks = packet.timestamp + packet.ticks
        self._frame_ticks = packet.ticks
        self._invented_ticks = 0
        self._late_run = 0

    def _fill(self, gap: int, out: list[Playout]) -> None:
        """Bridge a pause that the sender made, if it is short; a long one is simply left out."""
        if gap > LARGEST_FILL_S * self._hz:
            return
        while gap > 0:
            ticks = min(gap, self._frame_ticks)
            self._invent(ticks, out)
            gap -= ticks

    def _give_up(self, now: float, out: list[Playout]) -> None:
        """Stop waiting for all whose time has come."""
        while (due := self.deadline) is not None and now >= due:
            if not self._held:
                self._invent(self._frame_ticks, out)
                continue
            first = self._held[min(self._held)]
            gap = first.timestamp - self._next_ticks
            if gap > first.ticks and self._is_worth_filling(gap):
                self._invent(self._frame_ticks, out)
                continue
            if gap == first.ticks:
                out.append(Recover(first.payload, gap))
                self.counts.concealed += 1
                self._next_ticks += gap
            self._pass_over(first.sequence)
            self._hand_on(out)

    def _is_worth_filling(self, gap: int) -> bool:
        longest = (CONCEAL_S + SILENCE_S) * self._hz - self._invented_ticks
        return gap <= longest

    def _pass_over(self, sequence: int) -> None:
        missing = range(self._next_sequence, sequence)
        self.counts.lost += len(missing)
        self._passed_over.extend(missing[-REMEMBERED_GAPS:])
        self._next_sequence = sequence

    def _invent(self, ticks: int, out: list[Playout]) -> None:
        """Go on without a packet: first by the decoder's imagination, then by silence."""
        invented = self._invented_ticks / self._hz
        if invented >= CONCEAL_S + SILENCE_S:
            self._is_idle = not self._held
            return
        self._next_ticks += ticks
        self._invented_ticks += ticks
        if invented < CONCEAL_S:
            self.counts.concealed += 1
            until = self._invented_ticks / self._hz
            out.append(Conceal(ticks, _gain(invented), _gain(until)))
        else:
            out.append(Silence(ticks))


def _gain(after_s: float) -> float:
    """How loud invented sound is when it has lasted this long."""
    left = (CONCEAL_S - after_s) / (CONCEAL_S - FADE_FROM_S)
    return max(0.0, min(1.0, left))

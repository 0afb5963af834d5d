"""When each 20 ms of the bot's audio leaves: pure, the time is handed in.

A run of audio is sent on a grid of exactly 20 ms that begins with its first frame. Audio that
comes late is sent at once and does not move the grid, so a hiccup leaves no delay behind. When
nothing more comes the run ends with a little silence, so that the peer's decoder comes to rest,
and then nothing is sent at all; the clock of the timestamps goes on.

A source that makes audio ahead keeps the queue full. One that never fills it is live, an echo or
an interpreter, and wants no delay: it catches up by a burst after a longer hold-up, and what waits
without need, as after a hiccup at the very beginning, is blended away.
"""

from enum import Enum
from typing import Final, NamedTuple

from offhook.transports.webrtc.pcm import blend
from offhook.transports.webrtc.rtp import FRAME_S, FRAME_TICKS, OPUS_CLOCK_HZ

HOLD_S: Final = 0.1
LAG_S: Final = 0.04
GRACE_S: Final = 0.03
REBASE_S: Final = 0.2
LIVE_REBASE_S: Final = 1.0
REST_FRAMES: Final = 5
WATCHED_FRAMES: Final = 50
SPARE_FRAMES: Final = 1
MOST_BLENDED: Final = 3
FULL_S: Final = 0.2


class Frame(NamedTuple):
    """20 ms to send now; `ticks` is its place on the 48 kHz clock."""

    pcm: bytes
    ticks: int
    is_first: bool


class RunStarted(NamedTuple):
    """The first audio after a pause leaves now."""


class RunEnded(NamedTuple):
    """The last audio has left."""


Outgoing = Frame | RunStarted | RunEnded


class _Phase(Enum):
    IDLE = "idle"
    TALKING = "talking"
    RESTING = "resting"


class Pacer:
    """Keeps what is to be sent and says when; `poll` at each `deadline` and after each change."""

    def __init__(self, *, frame_bytes: int, full_s: float = FULL_S) -> None:
        self._frame_bytes = frame_bytes
        self._full_s = full_s
        self._silence = bytes(frame_bytes)
        self._queue = bytearray()
        self._phase = _Phase.IDLE
        self._is_open = False
        self._is_cut = False
        self._grace_until = 0.0
        self._due = 0.0
        self._ticks = 0
        self._ticks_at: float | None = None
        self._is_first = False
        self._is_announced = False
        self._rest_frames = 0
        self._was_ahead = False
        self._watch_anew()

    @property
    def queued_s(self) -> float:
        """How much audio waits."""
        return len(self._queue) / self._frame_bytes * FRAME_S

    @property
    def deadline(self) -> float | None:
        """When `poll` wants to be called; nothing while there is nothing to send."""
        if not self._is_open or self._phase is _Phase.IDLE:
            return None
        if self._phase is _Phase.RESTING or self._has_frame():
            return self._due
        return max(self._due + self._hold_s, self._grace_until)

    def open(self, *, now: float) -> None:
        """A peer is there: begin with a little silence, which tells it that there is a track."""
        self._is_open = True
        self._rest(now)

    def close(self) -> list[Outgoing]:
        """The peer is away: keep what is queued, until `open`."""
        self._is_open = False
        self._phase = _Phase.IDLE
        out: list[Outgoing] = []
        self._announce_end(out)
        return out

    def push(self, pcm: bytes) -> None:
        """Queue audio of any length."""
        self._queue += pcm
        self._is_cut = False
        self._is_ahead |= self.queued_s >= self._full_s

    def flush(self) -> None:
        """Forget what has not left."""
        self._queue.clear()
        self._is_cut = True
        self._grace_until = 0.0

    def poll(self, *, now: float) -> list[Outgoing]:
        """Give what leaves now."""
        out: list[Outgoing] = []
        if not self._is_open:
            return out
        if self._phase is _Phase.IDLE and self._queue:
            self._begin(now)
        while (due := self.deadline) is not None and now >= due:
            if self._phase is _Phase.RESTING:
                self._poll_resting(now, out)
            elif self._has_frame():
                self._send_audio(now, out)
            elif now - due > LAG_S and not self._is_cut:
                # We were held up ourselves: who makes the audio was, too, and has a moment.
                self._grace_until = now + GRACE_S
            else:
                self._end(now, out)
        return out

    @property
    def _hold_s(self) -> float:
        return 0.0 if self._is_cut else HOLD_S

    def _has_frame(self) -> bool:
        return len(self._queue) >= self._frame_bytes

    def _begin(self, due: float) -> None:
        self._phase = _Phase.TALKING
        self._due = due
        self._place(due)
        self._was_ahead = False
        self._watch_anew()

    def _announce_end(self, out: list[Outgoing]) -> None:
        if self._is_announced:
            self._is_announced = False
            out.append(RunEnded())

    def _place(self, at: float) -> None:
        """Find the place on the clock for a frame after a pause; it never goes back."""
        if self._ticks_at is not None:
            passed = round((at - self._ticks_at) * OPUS_CLOCK_HZ)
            self._ticks += max(passed, FRAME_TICKS)
        self._ticks_at = at
        self._is_first = True

    def _send_audio(self, now: float, out: list[Outgoing]) -> None:
        is_live = not (self._is_ahead or self._was_ahead)
        if now - self._due > (LIVE_REBASE_S if is_live else REBASE_S):
            # We were held up: a new beginning, not a burst.
            self._due = now
            self._place(now)
        pcm = self._take()
        if self._blends and self._has_frame():
            self._blends -= 1
            pcm = blend(pcm, self._take())
        self._talk(pcm, out)
        self._watch()

    def _take(self) -> bytes:
        pcm = bytes(self._queue[: self._frame_bytes])
        del self._queue[: self._frame_bytes]
        return pcm

    def _watch_anew(self) -> None:
        self._watched, self._blends = 0, 0
        self._least_waiting: int | None = None
        self._is_ahead = self.queued_s >= self._full_s

    def _watch(self) -> None:
        """See how much has always been waiting of late; blend what is more than it needs."""
        waiting = len(self._queue) // self._frame_bytes
        least = waiting if self._least_waiting is None else min(self._least_waiting, waiting)
        self._least_waiting = least
        self._watched += 1
        if self._watched >= WATCHED_FRAMES:
            self._was_ahead = self._is_ahead
            self._watch_anew()
            if not (self._is_ahead or self._was_ahead):
                self._blends = max(0, min(least - SPARE_FRAMES, MOST_BLENDED))

    def _talk(self, pcm: bytes, out: list[Outgoing]) -> None:
        if not self._is_announced:
            self._is_announced = True
            out.append(RunStarted())
        self._send(pcm, out)

    def _send(self, pcm: bytes, out: list[Outgoing]) -> None:
        if not self._is_first:
            self._ticks += FRAME_TICKS
        self._ticks_at = self._due
        out.append(Frame(pcm, self._ticks, self._is_first))
        self._is_first = False
        self._due += FRAME_S

    def _end(self, now: float, out: list[Outgoing]) -> None:
        """Send the piece that is less than a frame, then come to rest."""
        if self._queue:
            pcm = bytes(self._queue).ljust(self._frame_bytes, b"\0")
            self._queue.clear()
            self._talk(pcm, out)
        self._announce_end(out)
        self._rest(max(now, self._due))

    def _rest(self, due: float) -> None:
        self._phase = _Phase.RESTING
        self._rest_frames = REST_FRAMES
        if due - self._due >= FRAME_S or self._ticks_at is None:
            self._place(due)
        self._due = due

    def _poll_resting(self, now: float, out: list[Outgoing]) -> None:
        if self._queue:
            due = self._due if now - self._due < FRAME_S else now
            self._begin(due)
        elif self._rest_frames:
            if now - self._due > REBASE_S:
                self._due = now
                self._place(now)
            self._rest_frames -= 1
            self._send(self._silence, out)
        else:
            self._phase = _Phase.IDLE

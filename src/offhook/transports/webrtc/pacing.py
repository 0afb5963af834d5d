"""When each 20 ms of the bot's audio leaves: pure, the time is handed in.

A run of audio is sent on a grid of exactly 20 ms that begins with its first frame. Audio that
comes late is sent at once and does not move the grid, so a hiccup leaves no delay behind. When
nothing more comes the run ends with a little silence, so that the peer's decoder comes to rest,
and then nothing is sent at all; the clock of the timestamps goes on.
"""

from enum import Enum
from typing import Final, NamedTuple

FRAME_S: Final = 0.02
FRAME_TICKS: Final = 960
CLOCK_HZ: Final = 48_000
HOLD_S: Final = 0.1
REBASE_S: Final = 0.2
REST_FRAMES: Final = 5


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

    def __init__(self, *, frame_bytes: int) -> None:
        self._frame_bytes = frame_bytes
        self._silence = bytes(frame_bytes)
        self._queue = bytearray()
        self._phase = _Phase.IDLE
        self._is_open = False
        self._is_cut = False
        self._due = 0.0
        self._ticks = 0
        self._ticks_at: float | None = None
        self._is_first = False
        self._is_announced = False
        self._rest_frames = 0

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
        return self._due + self._hold_s

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

    def flush(self) -> None:
        """Forget what has not left."""
        self._queue.clear()
        self._is_cut = True

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

    def _announce_end(self, out: list[Outgoing]) -> None:
        if self._is_announced:
            self._is_announced = False
            out.append(RunEnded())

    def _place(self, at: float) -> None:
        """Find the place on the clock for a frame after a pause; it never goes back."""
        if self._ticks_at is not None:
            passed = round((at - self._ticks_at) * CLOCK_HZ)
            self._ticks += max(passed, FRAME_TICKS)
        self._ticks_at = at
        self._is_first = True

    def _send_audio(self, now: float, out: list[Outgoing]) -> None:
        if now - self._due > REBASE_S:  # we were held up: a new beginning, not a burst
            self._due = now
            self._place(now)
        pcm = bytes(self._queue[: self._frame_bytes])
        del self._queue[: self._frame_bytes]
        self._talk(pcm, out)

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

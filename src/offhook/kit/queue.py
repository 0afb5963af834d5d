"""A bounded line of frames from which an interruption can take the speech."""

from collections import deque
from collections.abc import Callable

import anyio

from offhook.kit.frames import Frame


class FrameQueue:
    """Frames in order, for one reader. A writer waits while the line is too long.

    Args:
        limit: The longest line, in whatever `weigh` measures. A frame that is heavier by itself
            is let in once the line is empty.
        weigh: How much one frame counts; 1 if not given.
    """

    def __init__(self, limit: float, weigh: Callable[[Frame], float] = lambda _: 1.0) -> None:
        self._limit, self._weigh = limit, weigh
        self._frames: deque[Frame] = deque()
        self._weight = 0.0
        self._arrived = anyio.Event()
        self._room = anyio.Event()
        self._discards = 0
        self._is_discarded: Callable[[Frame], bool] = lambda _: False

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def weight(self) -> float:
        """How much is in the line."""
        return self._weight

    async def put(self, frame: Frame) -> bool:
        """Append a frame; False if it was discarded while it waited for room."""
        weight, seen = self._weigh(frame), self._discards
        while self._frames and self._weight + weight > self._limit:
            await self._room.wait()
            if seen != self._discards and self._is_discarded(frame):
                return False
        self._frames.append(frame)
        self._weight += weight
        self._arrived.set()
        return True

    async def get(self) -> Frame:
        """Take the first frame, waiting for one. Nothing is lost if this is cancelled."""
        while not self._frames:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        frame = self._frames.popleft()
        self._weight -= self._weigh(frame)
        self._make_room()
        return frame

    def discard(self, is_discarded: Callable[[Frame], bool]) -> None:
        """Forget the frames for which this is true, also those still waiting for room."""
        self._discards += 1
        self._is_discarded = is_discarded
        self._frames = deque(frame for frame in self._frames if not is_discarded(frame))
        self._weight = sum(map(self._weigh, self._frames))
        self._make_room()

    def _make_room(self) -> None:
        self._room.set()
        self._room = anyio.Event()

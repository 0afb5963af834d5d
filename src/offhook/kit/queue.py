"""A bounded line from which an interruption can take the speech."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio

ItemT = TypeVar("ItemT")


class BoundedQueue(Generic[ItemT]):
    """Items in order, for one reader. A writer waits while the line is too long.

    Args:
        limit: The longest line, in whatever `weigh` measures. An item that is heavier by itself
            is let in once the line is empty.
        weigh: How much one item counts; 1 if not given.
    """

    def __init__(self, limit: float, weigh: Callable[[ItemT], float] = lambda _: 1.0) -> None:
        self._limit, self._weigh = limit, weigh
        self._items: deque[ItemT] = deque()
        self._weight = 0.0
        self._arrived = anyio.Event()
        self._room = anyio.Event()
        self._discards = 0
        self._is_discarded: Callable[[ItemT], bool] = lambda _: False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def weight(self) -> float:
        """How much is in the line."""
        return self._weight

    async def put(self, item: ItemT) -> bool:
        """Append an item; False if it was discarded while it waited for room."""
        weight, seen = self._weigh(item), self._discards
        while self._items and self._weight + weight > self._limit:
            await self._room.wait()
            if seen != self._discards and self._is_discarded(item):
                return False
        self._items.append(item)
        self._weight += weight
        self._arrived.set()
        return True

    async def get(self) -> ItemT:
        """Take the first item, waiting for one. Nothing is lost if this is cancelled."""
        while not self._items:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        item = self._items.popleft()
        self._weight -= self._weigh(item)
        self._make_room()
        return item

    def discard(self, is_discarded: Callable[[ItemT], bool]) -> None:
        """Forget the items for which this is true, also those still waiting for room."""
        self._discards += 1
        self._is_discarded = is_discarded
        self._items = deque(item for item in self._items if not is_discarded(item))
        self._weight = sum(map(self._weigh, self._items))
        self._make_room()

    def _make_room(self) -> None:
        self._room.set()
        self._room = anyio.Event()

"""Keeps the status up to date and notices when a publisher has fallen silent."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from connector.domain.events import Acquired, Committed, Event, Failed, Yielded
from connector.domain.status import Status, advance

if TYPE_CHECKING:
    from collections.abc import Callable


class StatusObserver:
    """Folds every event into ``status``."""

    def __init__(self, since_us: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.status = Status(since_us)
        self._monotonic = monotonic
        self._signs: dict[int, float] = {}

    def __call__(self, event: Event) -> None:
        """One event."""
        advance(self.status, event)
        if isinstance(event, Committed | Acquired):
            shard = event.batch.shard if isinstance(event, Committed) else event.shard
            self._signs[shard] = self._monotonic()
        elif isinstance(event, Failed):
            if event.shard in self._signs:
                self._signs[event.shard] = self._monotonic()
        elif isinstance(event, Yielded):
            self._signs.pop(event.shard, None)

    def silent(self) -> float:
        """Seconds since the most silent publisher said anything, be it a failure; 0 without one."""
        return max((self._monotonic() - sign for sign in self._signs.values()), default=0.0)


class Pulse:
    """Measures how late the event loop wakes what is due."""

    INTERVAL: Final = 0.5
    KEPT: Final = 20

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=self.KEPT)

    def lag(self) -> float:
        """Longest delay of the last 10 s, seconds."""
        return max(self._late, default=0.0)

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self.INTERVAL
            await asyncio.sleep(self.INTERVAL)
            self._late.append(max(0.0, loop.time() - due))

"""One budget for everything this process asks of the source: connects and REST requests alike."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD = 60.0
"""Seconds that a request counts: the source limits requests per minute."""


class Budget:
    """At most ``per_minute`` requests in any 60 seconds; whoever asks for more waits.

    `pause` holds everything back, as a Retry-After header asks.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._used: deque[float] = deque()
        self._not_before = float("-inf")
        self._lock = asyncio.Lock()

    def used(self) -> int:
        """Requests of the last minute."""
        self._forget()
        return len(self._used)

    def wait(self) -> float:
        """Seconds until the next request may go out; 0 if now."""
        now = self._clock()
        self._forget()
        full = len(self._used) >= self.per_minute
        return max(self._used[0] + PERIOD - now if full else 0.0, self._not_before - now, 0.0)

    def pause(self, seconds: float) -> None:
        """Nothing goes out for so many seconds."""
        self._not_before = max(self._not_before, self._clock() + seconds)

    async def acquire(self) -> None:
        """Wait for the right to send one request."""
        async with self._lock:
            while (seconds := self.wait()) > 0:  # noqa: ASYNC110 - time passes; there is nothing to be told
                await asyncio.sleep(seconds)
            self._used.append(self._clock())

    def _forget(self) -> None:
        now = self._clock()
        while self._used and self._used[0] <= now - PERIOD:
            self._used.popleft()

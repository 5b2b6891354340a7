"""The metrics of one scope (a department or the whole account), kept up to date by increments.

Times are simulated milliseconds, integers: sums stay exact however long the world runs.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from connector.domain.metrics import METRICS, WINDOWS
from connector.domain.model import Series

Value = int | float | None
Reader = Callable[[int], Value]

DURATIONS: Final = ("waiting_time", "chat_duration", "response_time")


class Timers:
    """Durations that run now: their mean and the longest, O(log n) per change."""

    __slots__ = ("_by_start", "_running", "_sum")

    def __init__(self) -> None:
        self._running: dict[int, int] = {}
        self._by_start: list[tuple[int, int]] = []
        self._sum = 0

    def start(self, chat: int, at: int) -> None:
        """Begin at `at`; one that runs already goes on (the first unanswered message counts)."""
        if chat not in self._running:
            self._running[chat] = at
            self._sum += at
            heappush(self._by_start, (at, chat))

    def stop(self, chat: int) -> None:
        """End it; unknown ones are ignored."""
        started = self._running.pop(chat, None)
        if started is not None:
            self._sum -= started

    def mean(self, now: int) -> float | None:
        """Mean in seconds; None when none runs."""
        running = len(self._running)
        return (now * running - self._sum) / running / 1000 if running else None

    def longest(self, now: int) -> int | None:
        """Longest in whole seconds; None when none runs."""
        heap = self._by_start
        while heap and self._running.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return (now - heap[0][0]) // 1000 if heap else None


class Tally:
    """Counts, running durations and windowed counts of one scope, and which of them were touched."""

    def __init__(self, department_id: int | None) -> None:
        self.department_id = department_id
        self.timers = {name: Timers() for name in DURATIONS}
        self.counts: dict[str, int] = {}
        self.recent: dict[tuple[str, int], int] = {}
        self.touched: dict[str, None] = {}
        self.readers: dict[Series, Reader] = {}
        self.series_of: dict[str, tuple[Series, ...]] = {}
        self._define()

    def _define(self) -> None:
        for metric in METRICS:
            windows = WINDOWS if metric.windowed else (None,)
            subject = metric.key.removesuffix("_avg").removesuffix("_max")
            for window in windows:
                series = Series(metric.family, metric.key, window, self.department_id)
                self.readers[series] = self._reader(metric.key, window)
                self.series_of[subject] = (*self.series_of.get(subject, ()), series)

    def _reader(self, key: str, window: int | None) -> Reader:
        subject, _, kind = key.rpartition("_")
        if subject in self.timers:
            timers = self.timers[subject]
            return timers.mean if kind == "avg" else timers.longest
        if window is None:
            self.counts[key] = 0
            return lambda _: self.counts[key]
        self.recent[key, window] = 0
        return lambda _: self.recent[key, window]

    def add(self, key: str, amount: int) -> None:
        """Change a count, e.g. ``active_chats``."""
        self.counts[key] += amount
        self.touched[key] = None

    def add_recent(self, key: str, window: int, amount: int) -> None:
        """Change the count of one window, e.g. ``missed_chats`` of the last 30 minutes."""
        self.recent[key, window] += amount
        self.touched[key] = None

    def start(self, duration: str, chat: int, at: int) -> None:
        """A duration begins, e.g. ``waiting_time``."""
        self.timers[duration].start(chat, at)
        self.touched[duration] = None

    def stop(self, duration: str, chat: int) -> None:
        """A duration ends."""
        self.timers[duration].stop(chat)
        self.touched[duration] = None

    def take_touched(self) -> list[Series]:
        """The series that events affected since the last call, in the order of the events."""
        series = [one for key in self.touched for one in self.series_of[key]]
        self.touched.clear()
        return series

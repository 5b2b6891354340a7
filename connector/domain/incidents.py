"""Gaps, grouped for people: what began in the same second for the same reason is one incident."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from connector.domain.model import OpenGap, Series

KEPT: Final = 100
"""Ended incidents that are kept."""


class Incident:
    """One incident and the gaps in it. Times in microseconds since the epoch; ``ended_us`` 0: none ended yet."""

    __slots__ = ("detail", "dropped", "ended_us", "longest_us", "open", "reason", "series", "started_us")

    def __init__(self, gap: OpenGap) -> None:
        self.started_us = gap.started_us
        self.reason = gap.reason
        self.detail = gap.detail
        self.ended_us = 0
        self.longest_us = 0
        self.dropped = 0
        self.series = 0
        self.open = 0


class Incidents:
    """Open and past gaps of this replica. Each series has one open gap at most."""

    def __init__(self) -> None:
        self._incidents: dict[tuple[str, int], Incident] = {}
        self._open: dict[Series, tuple[str, int]] = {}
        self.opened: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.microseconds: Counter[str] = Counter()
        """Length of all ended gaps by reason; overlapping gaps of several series count each."""
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._incidents)

    @property
    def open_now(self) -> int:
        """Series with an open gap."""
        return len(self._open)

    def open_by_reason(self) -> Counter[str]:
        """Series with an open gap, by its reason."""
        return Counter(reason for reason, _ in self._open.values())

    def newest(self) -> list[Incident]:
        """Every incident kept: open ones first, then the latest."""
        found = sorted(self._incidents.values(), key=lambda one: one.started_us, reverse=True)
        return sorted(found, key=lambda one: one.open == 0)

    def open(self, series: Series, gap: OpenGap) -> None:
        """A gap of the series was committed and is open."""
        self.forget(series)
        incident = self._incident(gap)
        incident.series += 1
        incident.open += 1
        self._open[series] = _key(gap)
        self.opened[gap.reason] += 1

    def close(self, series: Series, gap: OpenGap, ended_us: int, dropped: int) -> None:
        """The final word on a gap; one that was never committed open counts as opened, too."""
        if self._open.get(series) != _key(gap):
            self.open(series, gap)
        length_us = max(0, ended_us - gap.started_us)
        incident = self._incident(gap)
        incident.ended_us = max(incident.ended_us, ended_us)
        incident.longest_us = max(incident.longest_us, length_us)
        incident.dropped += dropped
        self.closed[gap.reason] += 1
        self.microseconds[gap.reason] += length_us
        self.dropped[gap.reason] += dropped
        self.forget(series)

    def forget(self, series: Series) -> None:
        """The gap of the series, if any, is no longer open here."""
        key = self._open.pop(series, None)
        if key is not None:
            self._incidents[key].open -= 1
            self._trim()

    def _incident(self, gap: OpenGap) -> Incident:
        key = _key(gap)
        found = self._incidents.get(key)
        if found is None:
            found = self._incidents[key] = Incident(gap)
        return found

    def _trim(self) -> None:
        """Drop the oldest ended ones; there are never more open ones than series."""
        while len(self._incidents) > KEPT:
            ended = next((key for key, one in self._incidents.items() if one.open == 0), None)
            if ended is None:
                return
            del self._incidents[ended]


def _key(gap: OpenGap) -> tuple[str, int]:
    return gap.reason, gap.started_us // 1_000_000

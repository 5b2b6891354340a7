"""What one session is to be subscribed to, what it is, and which messages lead from one to the other."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from connector.protocol.messages import subscribe, unsubscribe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.domain.model import Series
    from connector.protocol.verdicts import Route


class Subscriptions:
    """Wanted and held series of one session.

    What an unsubscribe drops is not documented: perhaps every variant (window, department) of the metric. Unless
    ``exact``, none is sent while a variant is wanted, and then all held variants of the metric go together, so
    that what the source holds is known again.
    """

    def __init__(self, series: Iterable[Series], *, exact: bool) -> None:
        self.wanted: dict[Route, Series] = {}
        self.held: dict[Series, None] = {}
        """Subscribed at the source, as far as we have sent."""
        self._exact = exact
        self._joining: deque[Series] = deque()
        self._leaving: deque[tuple[Series, ...]] = deque()
        self.add(series)

    @property
    def settled(self) -> bool:
        """Nothing is left to send."""
        return not self._joining and not self._leaving

    def add(self, series: Iterable[Series]) -> None:
        """Want these, too."""
        for one in series:
            self.wanted.setdefault(_route(one), one)
        self._plan()

    def remove(self, series: Iterable[Series]) -> None:
        """Want these no longer."""
        for one in series:
            self.wanted.pop(_route(one), None)
        self._plan()

    def next_messages(self) -> list[str]:
        """The messages to send next, which have to stay together; they count as sent."""
        if self._leaving:
            group = self._leaving.popleft()
            for one in group:
                del self.held[one]
            return [unsubscribe(one) for one in group]
        one = self._joining.popleft()
        self.held[one] = None
        return [subscribe(one)]

    def _plan(self) -> None:
        wanted = self.wanted
        self._joining = deque(one for one in wanted.values() if one not in self.held)
        spare = [one for one in self.held if _route(one) not in wanted]
        if self._exact:
            self._leaving = deque((one,) for one in spare)
            return
        busy = {route[:2] for route in wanted}
        groups: dict[tuple[str, str], list[Series]] = {}
        for one in spare:
            if (one.family, one.metric) not in busy:
                groups.setdefault((one.family, one.metric), []).append(one)
        self._leaving = deque(tuple(group) for group in groups.values())


def _route(series: Series) -> Route:
    return series.family, series.metric, series.window, series.department_id

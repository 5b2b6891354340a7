"""What the events do not tell: the other replicas, the connect budget, the names of the departments."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from connector.web.model import Budget, Members
from connector.web.view import Around

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from connector.web.model import Member

REFRESH: Final = 10.0
"""Seconds between two descriptions of the consumer group."""


def _no_departments() -> Mapping[int, str]:
    return {}


def _nothing() -> None:
    return None


class Surroundings:
    """Asks around, never more often than need be.

    Args:
        members: describes the consumer group; None if there is none.
        budget: requests of the last minute and the most that there may be.
        departments: names by id, as far as they are known.
        waiting: what waits for its transaction now; None while there is nothing to ask.
    """

    def __init__(
        self,
        *,
        members: Callable[[], Awaitable[Iterable[Member]]] | None = None,
        budget: Callable[[], tuple[int, int]] | None = None,
        departments: Callable[[], Mapping[int, str]] = _no_departments,
        waiting: Callable[[], int | None] = _nothing,
    ) -> None:
        self._describe = members
        self._budget = budget
        self._departments = departments
        self._waiting = waiting
        self.promise: tuple[str, Sequence[str]] | None = None
        """Which promise holds by the newest checks, and why it is no better."""
        self._members = Members((), None, "")

    def now(self) -> Around:
        """As it stands."""
        budget = None if self._budget is None else Budget(*self._budget())
        return Around(self._members, budget, self._departments(), self.promise, self._waiting())

    def members(self) -> int:
        """Replicas in the consumer group, as of the newest description."""
        return len(self._members.known)

    async def run(self) -> None:
        """Describe the group every 10 s until cancelled."""
        while self._describe is not None:
            try:
                async with asyncio.timeout(REFRESH):
                    known = tuple(await self._describe())
                self._members = Members(known, time.time_ns() // 1_000_000, "")
            except Exception as error:  # noqa: BLE001 - shown on the page; the page must not end the process
                text = str(error) or type(error).__name__
                self._members = Members(self._members.known, self._members.refreshed_ms, text)
            await asyncio.sleep(REFRESH)

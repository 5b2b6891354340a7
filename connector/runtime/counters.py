"""Counters of heartbeats, conserved: received = records + suppressed + dead letters + dropped + waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.domain.events import Rejected
from connector.domain.model import Entry, GapClosed
from connector.domain.queue import count_values

if TYPE_CHECKING:
    from connector.domain.ledger import Ledger


class Counters:
    """Counts since the owner epoch began. ``ledger``: of the shard; it counts what it suppresses and drops itself."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.received = 0
        self.reconnects = 0
        self._records = self._gaps = self._letters = 0
        self.reset()

    def reset(self) -> None:
        """An owner epoch begins: what waits counts as received in it."""
        ledger = self._ledger
        self.received = ledger.queue.values() + ledger.held
        ledger.suppressed = ledger.dropped = 0
        self.reconnects = self._records = self._gaps = self._letters = 0

    def count(self, items: tuple[Any, ...]) -> None:
        """These items of a batch are committed."""
        entries = list(map(type, items)).count(Entry)
        self._records += entries
        if entries != len(items):
            self._gaps += sum(1 for item in items if isinstance(item, GapClosed))
            self._letters += sum(1 for item in items if isinstance(item, Rejected))

    def told(self, items: tuple[Any, ...], taken: int) -> dict[str, int]:
        """What the heartbeat of a transaction tells of which ``items`` are committed and ``taken`` leave the queue."""
        entries = list(map(type, items)).count(Entry)
        ledger = self._ledger
        return {
            "values_received_total": self.received,
            "records_total": self._records + entries,
            "repeats_suppressed_total": ledger.suppressed,
            "dead_letters_total": self._letters + count_values(items) - entries,
            "dropped_total": ledger.dropped,
            "waiting": ledger.queue.values(taken) + ledger.held,
            "gaps_total": self._gaps,
            "reconnects_total": self.reconnects,
        }

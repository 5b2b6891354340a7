"""What waits for its transaction, in order: in memory, and beyond that in a store."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from connector.domain.events import Rejected
from connector.domain.model import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Store(Protocol):
    """Keeps items outside memory; `adapters.journal.Journal` is the real one."""

    recording: bool
    """True while items have to be stored besides being queued."""

    error: str | None
    """Why nothing more can be stored; None while it can."""

    def append(self, item: Any) -> None:
        """Keep one more item, the newest."""

    def load(self, skip: int, count: int) -> list[Any]:
        """So many of the kept items, the ``skip`` oldest of them left out."""

    def release(self, count: int) -> None:
        """The oldest items are committed and need not be kept."""


def is_value(item: Any) -> bool:
    """True for what was received as a value, or could not become one."""
    return isinstance(item, Entry | Rejected)


def count_values(items: Iterable[Any]) -> int:
    """How many of them `is_value` is true for."""
    kinds = list(map(type, items))
    return kinds.count(Entry) + kinds.count(Rejected)


class Queue:
    """A queue with a bound for its memory and one for the whole.

    Without a store ``room`` is the bound. With one, ``memory`` items at most are in memory, the oldest; the others
    are only in the store until there is memory for them again.
    """

    def __init__(self, *, room: int, memory: int | None = None, store: Store | None = None) -> None:
        self.room = room
        self._memory = room if memory is None else memory
        self._store = store
        self._items: deque[Any] = deque()
        self._stored = 0
        """Items, oldest first, that the store keeps; the newest ``_beyond`` of them are not in memory."""
        self._beyond = 0
        self._values_beyond = 0

    def __len__(self) -> int:
        return len(self._items) + self._beyond

    def __iter__(self) -> Iterator[Any]:
        """The items in memory, oldest first."""
        return iter(self._items)

    def __getitem__(self, at: int) -> Any:
        return self._items[at]

    @property
    def in_memory(self) -> int:
        """How many items can be looked at."""
        return len(self._items)

    def values(self, after: int = 0) -> int:
        """How many received values wait, the ``after`` oldest items not counted."""
        return count_values(islice(self._items, after, None)) + self._values_beyond

    @property
    def full(self) -> bool:
        """No room for another item; a store that fails leaves the room that is in memory."""
        broken = self._store is not None and self._store.error is not None
        return len(self._items) + self._beyond >= (self._memory if broken else self.room)

    def append(self, item: Any) -> None:
        """The newest item. Bookkeeping items pass even without room; there is at most one per series and gap."""
        store = self._store
        if store is not None and store.recording:
            store.append(item)
            self._stored += 1
            if self._beyond or len(self._items) >= self._memory:
                self._beyond += 1
                self._values_beyond += is_value(item)
                return
        self._items.append(item)

    def record(self) -> None:
        """From now on the store records: it begins with what waits already."""
        if self._store is not None:
            for item in self._items:
                self._store.append(item)
            self._stored = len(self._items)

    def restore(self, count: int, values: int) -> None:
        """The store holds so many items from before, so many of them values: they wait again, oldest first."""
        self._stored = self._beyond = count
        self._values_beyond = values
        self._fill()

    def replace(self, items: Iterable[Any]) -> None:
        """Other items wait instead; they do so in memory."""
        self._items = deque(items)

    def release(self, count: int) -> None:
        """The oldest items are committed."""
        popleft = self._items.popleft
        for _ in range(count):
            popleft()
        if self._store is not None and self._stored:
            done = min(count, self._stored)
            self._store.release(done)
            self._stored -= done
            self._fill()

    def _fill(self) -> None:
        space = self._memory - len(self._items)
        if self._store is None or not self._beyond or space < self._memory // 2:
            return
        loaded = self._store.load(self._stored - self._beyond, min(space, self._beyond))
        self._items.extend(loaded)
        self._beyond -= len(loaded)
        self._values_beyond -= sum(map(is_value, loaded))

"""The newest of something, as of a batch whose transaction is known to be readable everywhere."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Batched(Protocol):
    """Anything that carries the id of its transaction."""

    @property
    def batch(self) -> int:
        """Number of the transaction in its shard."""


B = TypeVar("B", bound=Batched)


class Staged(Generic[B]):
    """The newest item up to the horizon, and those beyond it, which cannot be compared with other topics yet.

    The records of one transaction become readable partition by partition: only what lies at or below the horizon
    is there in all topics.
    """

    __slots__ = ("ahead", "settled")

    def __init__(self) -> None:
        self.settled: B | None = None
        self.ahead: list[B] = []

    def put(self, item: B, horizon: int) -> None:
        """The next item in the order of the log; one of the same batch is replaced."""
        if self.ahead:
            if self.ahead[-1].batch == item.batch:
                self.ahead[-1] = item
            else:
                self.ahead.append(item)
        elif item.batch <= horizon:
            self.settled = item
        else:
            self.ahead.append(item)

    def promote(self, horizon: int) -> None:
        """The horizon moved on."""
        reached = 0
        while reached < len(self.ahead) and self.ahead[reached].batch <= horizon:
            reached += 1
        if reached:
            self.settled = self.ahead[reached - 1]
            del self.ahead[:reached]

    def clear(self) -> None:
        """There is nothing any more: a tombstone."""
        self.settled = None
        self.ahead.clear()

    @property
    def newest(self) -> B | None:
        """The newest of all, readable everywhere or not."""
        return self.ahead[-1] if self.ahead else self.settled

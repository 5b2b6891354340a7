"""Until when everything that the source sent is in the queue or committed, by how far the queue had been filled."""

from __future__ import annotations

from collections import deque


class Proofs:
    """Proofs by place: the number of items that the shard has ever queued. Times are microseconds."""

    def __init__(self) -> None:
        self._proofs: deque[tuple[int, int]] = deque()
        self.taken = 0
        """How many items have left the queue."""

    def add(self, waiting: int, through_us: int) -> None:
        """Everything until that instant is in the queue, of which so many items wait, or has left it."""
        self._proofs.append((self.taken + waiting, through_us))

    def take(self, items: int) -> None:
        """So many items more are committed."""
        self.taken += items
        while len(self._proofs) > 1 and self._proofs[1][0] <= self.taken:
            self._proofs.popleft()

    def widen(self, items: int) -> None:
        """So many items more stand for the ones that wait."""
        self._proofs = deque((place + items, through_us) for place, through_us in self._proofs)

    def through(self, items: int) -> int:
        """The newest proof that holds once so many items more are committed; 0 without one."""
        through_us = 0
        for place, proof_us in self._proofs:
            if place > self.taken + items:
                break
            through_us = proof_us
        return through_us

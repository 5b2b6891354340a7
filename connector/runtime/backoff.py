"""How long to wait before the next try."""

from __future__ import annotations

import random


class Backoff:
    """Full jitter: a random part of a bound that doubles with each failure, seconds.

    Source of the rule: "Exponential Backoff And Jitter", AWS Architecture Blog.
    """

    def __init__(self, initial: float, maximum: float, rng: random.Random | None = None) -> None:
        self._initial = initial
        self._maximum = maximum
        self._rng = rng or random.Random()  # noqa: S311 - jitter is no secret
        self._failures = 0

    def next(self, *, at_least: float = 0.0) -> float:
        """The wait after one more failure; ``at_least`` is what the other side asked for."""
        bound = min(self._maximum, self._initial * 2**self._failures)
        self._failures = min(self._failures + 1, 30)
        return at_least + self._rng.uniform(0.0, bound)

    def reset(self) -> None:
        """The last try succeeded."""
        self._failures = 0

"""Time, as an argument: the simulation of the tests brings its own."""

from __future__ import annotations

import time


class Clock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds that never step back; for distances."""
        return time.monotonic()

    def wall_us(self) -> int:
        """Microseconds since the epoch; for what is written down."""
        return time.time_ns() // 1000

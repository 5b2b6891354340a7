"""When the next message may be sent."""

from __future__ import annotations


class Pace:
    """At most ``rate`` messages a second, the first ``burst`` at once. Times are monotonic seconds."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._interval = 1 / rate
        # A thousandth of a message more, or rounding would cost the burst its last one.
        self._credit = (burst - 0.999) / rate
        self._paid_until = now

    @property
    def ready_at(self) -> float:
        """From then on one more message may be sent."""
        return self._paid_until - self._credit

    def spend(self, messages: int, now: float) -> None:
        """So many messages are sent now."""
        self._paid_until = max(self._paid_until, now) + messages * self._interval

"""What the producers of this process did and measured: counted on their threads, read by whoever scrapes."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

MICROSECONDS: Final = 1e6


class Producers:
    """Counts of all producers since the process began, and librdkafka's newest statistics of each shard's."""

    def __init__(self) -> None:
        self.started = 0
        """Producers made: one for each shard acquired, one more whenever a producer had to be replaced."""
        self.errors: Counter[str] = Counter()
        """Transactions that were given up, by librdkafka's name of the error."""
        self._statistics: dict[str, dict[str, Any]] = {}

    def begin(self) -> None:
        """A producer was made, in place of the one before, if there was one."""
        self.started += 1

    def give_up(self, code: str) -> None:
        """A transaction was given up."""
        self.errors[code] += 1

    def measure(self, transactional_id: str, statistics: dict[str, Any]) -> None:
        """Statistics of one producer, as librdkafka tells them."""
        self._statistics[transactional_id] = statistics

    def forget(self, transactional_id: str) -> None:
        """The shard is handed over."""
        self._statistics.pop(transactional_id, None)

    def sums(self) -> dict[str, float]:
        """Queue and traffic of the current producers."""
        found = list(self._statistics.values())
        brokers = [broker for one in found for broker in one.get("brokers", {}).values()]
        return {
            "queue_records": sum(one.get("msg_cnt", 0) for one in found),
            "queue_bytes": sum(one.get("msg_size", 0) for one in found),
            "brokers_up": sum(1 for one in brokers if one.get("state") == "UP" and one.get("nodeid", -1) >= 0),
            "sent_bytes": sum(one.get("txbytes", 0) for one in brokers),
            "retries": sum(one.get("txretries", 0) for one in brokers),
            "timeouts": sum(one.get("req_timeouts", 0) for one in brokers),
        }

    def round_trip(self) -> float | None:
        """Seconds of a request and its answer: mean over the newest statistics, of the slowest broker."""
        windows = [
            broker["rtt"]["avg"] / MICROSECONDS
            for one in list(self._statistics.values())
            for broker in one.get("brokers", {}).values()
            if broker.get("rtt", {}).get("cnt")
        ]
        return max(windows, default=None)

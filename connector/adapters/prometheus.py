"""Events as Prometheus metrics: sums per batch, read when somebody scrapes. Every metric stands in `TABLE`."""

from __future__ import annotations

import platform
import time
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from connector.adapters.producers import Producers
from connector.adapters.prometheus_table import AGE_BUCKETS, COMMIT_BUCKETS, SIZE_BUCKETS, TABLE, family
from connector.domain.events import Acquired, Closed, Committed, Event, Refused, Reloaded, Yielded
from connector.domain.health import DEGRADED, DOWN, OK, STANDBY, health
from connector.domain.metrics import METRICS
from connector.domain.model import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client import Metric

    from connector.domain.model import Beat
    from connector.domain.standing import Row
    from connector.domain.status import Status

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Samples = list[tuple[tuple[str, ...], float]]


class Histogram:
    """Counts by upper bound; the last one has none."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """One value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_ages(self, received: Sequence[Entry], at_us: int) -> None:
        """The ages at ``at_us`` of updates in the order of their receipt: a few steps, however many there are."""
        younger = len(received)
        for at, bound in enumerate(self.bounds):
            oldest = bisect_left(received, at_us - int(bound * 1e6), 0, younger, key=_received_us)
            self.counts[at] += younger - oldest
            younger = oldest
        self.counts[-1] += younger
        self.total += (len(received) * at_us - sum(map(_received_us, received))) / 1e6

    def cumulated(self) -> list[tuple[str, float]]:
        """Buckets as Prometheus wants them."""
        found, sofar = [], 0
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            sofar += count
            found.append((bound, float(sofar)))
        return found


def _received_us(entry: Entry) -> int:
    return entry.received_us


class PrometheusObserver(Collector):
    """Counts events; states are read from the status, which must observe the same events.

    Args:
        budget: requests of the last minute and the most that there may be.
        members: replicas in the consumer group.
        lag: how late the event loop runs, seconds.
        strict: the configured guarantee is strict.
        holds: the full promise holds by the newest checks; None before the first.
        waiting: what waits for its transaction now; None while nobody knows.
        limit: how much may wait for each shard.
        disk: bytes of the journals.
        producers: what the producers count.
        series_limit: series with metrics of their own; the rest is left out and counted.
        heartbeat: distance of two heartbeats, seconds.
    """

    def __init__(
        self,
        status: Status,
        *,
        account: str,
        version: str,
        budget: Callable[[], tuple[int, int]] | None = None,
        members: Callable[[], int] | None = None,
        lag: Callable[[], float] | None = None,
        waiting: Callable[[], int | None] = lambda: None,
        limit: int | None = None,
        disk: Callable[[], int | None] = lambda: None,
        producers: Producers | None = None,
        strict: bool = True,
        holds: Callable[[], bool | None] = lambda: None,
        series_limit: int = 0,
        heartbeat: float = 1.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._status = status
        self._build = (version, account, platform.python_version())
        self._budget = budget
        self._members = members
        self._lag = lag
        self._waiting = waiting
        self._limit = limit
        self._disk = disk
        self.producers = producers or Producers()
        """May be replaced once those of the connector are known."""
        self._strict = strict
        self._holds = holds
        self._series_limit = series_limit
        self._heartbeat_us = int(heartbeat * 1e6)
        self._wall = wall
        self._closed: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._reloads = {True: 0, False: 0}
        self._updates: Counter[str] = Counter({f"{one.family}.{one.key}": 0 for one in METRICS})
        self._acquired = self._yielded = self._frames = self._suppressed = 0
        self._counted: dict[int, int] = {}
        self._commit = Histogram(COMMIT_BUCKETS)
        self._size = Histogram(SIZE_BUCKETS)
        self._age = Histogram(AGE_BUCKETS)
        self._waited = Histogram(AGE_BUCKETS)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def render(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self.registry)

    # Events.

    def __call__(self, event: Event) -> None:
        """Count one event."""
        kind = type(event)
        if kind is Committed:
            self._on_committed(event)  # type: ignore[arg-type]
        elif kind is Closed:
            self._closed[event.reason] += 1  # type: ignore[union-attr]
        elif kind is Refused:
            self._refused[event.reason] += 1  # type: ignore[union-attr]
        elif kind is Acquired:
            self._acquired += 1
        elif kind is Yielded:
            self._yielded += 1
        elif kind is Reloaded:
            self._reloads[event.applied] += 1  # type: ignore[union-attr]

    def _on_committed(self, event: Committed) -> None:
        batch = event.batch
        entries = [item for item in batch.items if type(item) is Entry]
        self._commit.observe(event.seconds)
        if batch.beat is not None:
            self._on_beat(batch.shard, batch.beat)
        if not entries:
            return
        self._size.observe(len(entries))
        self._age.observe_ages(entries, event.at_us)
        self._waited.observe(max(0.0, (event.at_us - entries[0].received_us) / 1e6 - event.seconds))
        for series, times in Counter([entry.series for entry in entries]).items():
            self._updates[f"{series.family}.{series.metric}"] += times

    def _on_beat(self, shard: int, beat: Beat) -> None:
        """Each owner epoch counts from 0 again."""
        self._frames = max(self._frames, beat.counters.get("frames_total", 0))
        suppressed = beat.counters.get("repeats_suppressed_total", 0)
        before = self._counted.get(shard, 0)
        self._suppressed += suppressed - before if suppressed >= before else suppressed
        self._counted[shard] = suppressed

    # Scrapes.

    def describe(self) -> list[Metric]:
        """Every metric, without values."""
        return [family(row, ()) for row in TABLE]

    def collect(self) -> Iterator[Metric]:
        """Every metric of the table, in its order."""
        now_us = int(self._wall() * 1e6)
        samples = {
            **self._of_source(now_us),
            **self._of_updates(),
            **self._of_kafka(),
            **self._of_gaps(),
            **self._of_shards(now_us),
            **self._of_process(now_us),
            **self._of_series(),
            "commit_seconds": [(self._commit.cumulated(), self._commit.total)],
            "batch_updates": [(self._size.cumulated(), self._size.total)],
            "batch_age_seconds": [(self._waited.cumulated(), self._waited.total)],
            "received_to_committed_seconds": [(self._age.cumulated(), self._age.total)],
        }
        for row in TABLE:
            yield family(row, samples.get(row.name, ()))

    def _of_source(self, now_us: int) -> dict[str, Any]:
        status = self._status
        link = status.link
        last_us = max((beat.last_frame_us or 0 for beat in status.beats()), default=0)
        return {
            "session_up": _one(link is not None),
            "session_opened_timestamp_seconds": _one(None if link is None else link.opened_us / 1e6),
            "ping_rtt_seconds": _one(None if link is None or link.rtt_ms is None else link.rtt_ms / 1000),
            "sessions_opened_total": _one(status.sessions),
            "sessions_closed_total": _each(self._closed),
            "connects_failed_total": _each(self._refused),
            "frames_total": _one(self._frames),
            "last_frame_age_seconds": _one((now_us - last_us) / 1e6 if last_us else None),
            "notices_total": _each(status.notices),
        }

    def _of_updates(self) -> dict[str, Any]:
        status = self._status
        beats = status.beats()
        expected = sum(beat.series_expected for beat in beats)
        active = sum(beat.series_active for beat in beats)
        updates = [(tuple(name.split(".")), count) for name, count in self._updates.items()]
        return {
            "updates_committed_total": updates,
            "snapshots_suppressed_total": _one(self._suppressed),
            "updates_waiting": _one(self._waiting()),
            "updates_waiting_limit": _one(self._limit),
            "buffer_disk_bytes": _one(self._disk()),
            "dead_letters_total": _each(status.letters_by_reason),
            "transactions_total": [
                (("committed",), status.transactions),
                (("failed",), status.failed),
                (("aborted",), status.aborted),
            ],
            "producers_rebuilt_total": _one(status.rebuilt),
            "series_expected": _one(expected),
            "series_active": _one(active),
            "series_unconfirmed": _one(max(0, expected - active)),
        }

    def _of_kafka(self) -> dict[str, Any]:
        sums = self.producers.sums()
        return {
            "kafka_errors_total": _each(self.producers.errors),
            "producers_started_total": _one(self.producers.started),
            "kafka_queue_records": _one(sums["queue_records"]),
            "kafka_queue_bytes": _one(sums["queue_bytes"]),
            "kafka_brokers_up": _one(sums["brokers_up"]),
            "kafka_round_trip_seconds": _one(self.producers.round_trip()),
            "kafka_sent_bytes_total": _one(sums["sent_bytes"]),
            "kafka_requests_retried_total": _one(sums["retries"]),
            "kafka_requests_timed_out_total": _one(sums["timeouts"]),
        }

    def _of_gaps(self) -> dict[str, Any]:
        incidents = self._status.incidents
        return {
            "gaps_opened_total": _each(incidents.opened),
            "gaps_closed_total": _each(incidents.closed),
            "gaps_open": _each(incidents.open_by_reason() | Counter(dict.fromkeys(incidents.opened, 0))),
            "gap_seconds_total": [((reason,), us / 1e6) for reason, us in incidents.microseconds.items()],
            "updates_dropped_total": _one(incidents.dropped.total()),
        }

    def _of_shards(self, now_us: int) -> dict[str, Any]:
        shards = [((str(number),), shard) for number, shard in self._status.shards.items()]
        return {
            "shard_owned": [(label, 1) for label, _ in shards],
            "owner_epoch": [(label, shard.owner_epoch) for label, shard in shards],
            "batch_id": [(label, shard.batch_id) for label, shard in shards],
            "heartbeat_age_seconds": [(label, shard.silent_us(now_us) / 1e6) for label, shard in shards],
            "complete_through_timestamp_seconds": [
                (label, shard.through_us / 1e6) for label, shard in shards if shard.through_us is not None
            ],
            "shards_acquired_total": _one(self._acquired),
            "shards_yielded_total": _one(self._yielded),
        }

    def _of_process(self, now_us: int) -> dict[str, Any]:
        level = health(self._status, now_us, heartbeat_us=self._heartbeat_us).level
        used, limit = self._budget() if self._budget is not None else (None, None)
        return {
            "build_info": [(self._build, 1)],
            "health": [((one,), one == level) for one in (OK, DEGRADED, DOWN, STANDBY)],
            "config_reloads_total": [(("applied",), self._reloads[True]), (("refused",), self._reloads[False])],
            "guarantee_strict": _one(self._strict),
            "guarantee_holds": _one(self._holds()),
            "connect_budget_used": _one(used),
            "connect_budget_limit": _one(limit),
            "group_members": _one(None if self._members is None else self._members()),
            "event_loop_lag_seconds": _one(None if self._lag is None else self._lag()),
        }

    def _of_series(self) -> dict[str, Any]:
        rows = self._status.rows
        shown = sorted(rows.values(), key=_name)[: self._series_limit] if self._series_limit else []
        return {
            "series_value": [((row.name,), row.value) for row in shown if row.value is not None],
            "series_sequence": [((row.name,), row.sequence) for row in shown],
            "series_epoch": [((row.name,), row.epoch) for row in shown],
            "series_without_metrics": _one(len(rows) - len(shown)),
        }


def _name(row: Row) -> str:
    return row.name


def _one(value: float | None) -> Samples:
    return [] if value is None else [((), float(value))]


def _each(counter: Counter[str]) -> Samples:
    return [((name,), float(count)) for name, count in counter.items()]

"""Items of a batch become Kafka records: topics, keys, values by the schemas, headers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from connector.domain.declared import Declared
from connector.domain.headers import FORMS
from connector.domain.model import (
    Batch,
    Entry,
    GapClosed,
    GapOpened,
    Record,
    Retired,
    Series,
    ShardState,
    Subscribed,
)
from connector.domain.routes import Form, Routes, plain
from connector.domain.rows import Hints, Newest, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connector.domain.topics import Topics

METRIC_UPDATE: Final = "metric-update"


class Recorder:
    """Makes the records of one shard's transactions.

    Args:
        headers: minimal | full | none, the CloudEvents headers of every record but the offsets.
        payload_bytes: how much of a rejected frame a dead letter keeps.
        form: how the values of updates are made.
    """

    def __init__(
        self,
        topics: Topics,
        *,
        account: str,
        owner: str,
        version: str,
        shard: int,
        shards: int,
        partitions: int,
        latest_partitions: int = 1,
        heartbeat_ms: int,
        headers: str = "minimal",
        payload_bytes: int = 65536,
        form: Form = plain,
    ) -> None:
        self._latest_topic = topics.latest
        self._headers = FORMS[headers](account)
        self._routes = Routes(topics, account, partitions, latest_partitions, form)
        self._declared = Declared(
            topics,
            self._routes,
            self._headers,
            account=account,
            version=version,
            partitions=partitions,
            payload_bytes=payload_bytes,
        )
        self._rows = Rows(
            topics,
            self._routes,
            self._headers,
            account=account,
            owner=owner,
            version=version,
            shard=shard,
            shards=shards,
            partitions=partitions,
            heartbeat_ms=heartbeat_ms,
        )

    def transaction(self, batch: Batch, state: ShardState, now_us: int, hints: Hints) -> Iterator[Record]:
        """Every record of one transaction; the shard row is the last. ``state`` is that of this transaction."""
        newest: dict[Series, Newest] = {}
        others: list[Any] = []
        batch_id = state.batch_id
        for item in batch.items:
            if type(item) is Entry:
                found = newest.get(item.series)
                if found is None:
                    found = newest[item.series] = Newest()
                found.updates += 1
                found.offset = None
                found.entry = item
                found.record = self._update(item, batch_id)
                yield found.record
                continue
            others.append(item)
            if isinstance(item, GapOpened | GapClosed | Subscribed | Retired):
                newest.setdefault(item.offset.series, Newest()).offset = item.offset
        yield from self._declared.gaps(others)
        yield from self._declared.dead_letters(others, now_us)
        if self._latest_topic is not None:
            yield from self._latest(self._latest_topic, others, newest)
        yield from self._rows.rows(newest, state, now_us, hints)
        if batch.beat is not None:
            yield from self._rows.beats(batch, state)
        yield self._rows.shard_row(batch, state, now_us)

    def _update(self, entry: Entry, batch_id: int) -> Record:
        route = self._routes.known.get(entry.series) or self._routes(entry.series)
        epoch, sequence, received_us = entry.epoch, entry.sequence, entry.received_us
        event_id = f"{route.identity}{epoch}/{sequence}"
        received_ms = received_us // 1000
        value = route.update(
            event_id,
            entry.value,
            entry.raw,
            entry.origin,
            received_ms,
            received_us,
            sequence,
            epoch,
            entry.session_id,
            entry.frame,
            batch_id,
        )
        headers = self._headers("metric-update", event_id, route.name, sequence, received_us)
        return Record(route.topic, route.partition, route.key, METRIC_UPDATE, value, received_ms, headers)

    def _latest(self, topic: str, others: Sequence[Any], newest: Mapping[Series, Newest]) -> Iterator[Record]:
        retired = {item.offset.series: item.at_us for item in others if type(item) is Retired}
        for series, found in newest.items():
            record = found.record
            if record is not None and series not in retired:
                route = self._routes(series)
                yield Record(topic, route.latest_partition, route.latest_key, METRIC_UPDATE, *record[4:])
        for series, at_us in retired.items():
            route = self._routes(series)
            yield Record(topic, route.latest_partition, route.latest_key, METRIC_UPDATE, None, at_us // 1000)

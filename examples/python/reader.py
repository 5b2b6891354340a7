"""Updates with what is known about their completeness: a small class, and a program that shows it.

``python reader.py [--until-end] [--json]`` prints every update with the gaps before it. Needs
`pip install "confluent-kafka[avro,schemaregistry]"` and, in the environment, KAFKA_BOOTSTRAP_SERVERS,
SCHEMA_REGISTRY_URL and, unless they are ``zendesk.chat`` and ``acme``, PREFIX and ACCOUNT.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


class Incomplete(Exception):
    """The topics break their promise: a sequence has a hole, or an epoch began without a gap."""


@dataclass(frozen=True)
class Update:
    """One update. ``gaps``: what lies between it and the update before it of its series; empty: nothing is missing."""

    row: dict[str, Any]
    gaps: tuple[dict[str, Any], ...]
    partition: int


class Values:
    """Decodes framed values by the schema that each names; a schema is asked for once, so the registry may go away."""

    def __init__(self, url: str, retry: float = 1.0) -> None:
        self._client = SchemaRegistryClient({"url": url, "max.retries": 0})
        # The default strategy asks some registries what they do not know, and fails.
        conf = {"subject.name.strategy": topic_subject_name_strategy}
        self._decode = AvroDeserializer(self._client, conf=conf)
        self._url = url
        self._retry = retry

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __call__(self, topic: str, value: bytes | None) -> dict[str, Any] | None:
        """The record; None for a tombstone. Waits while the registry does not answer.

        Raises:
            SystemExit: the registry refuses, or does not know the schema.
        """
        while True:
            try:
                return self._decode(value, SerializationContext(topic, MessageField.VALUE))
            except SchemaRegistryError as error:
                if error.http_status_code < 500 and error.http_status_code != 429:
                    text = f"registry {self._url}: HTTP {error.http_status_code}: {error.error_message}"
                    raise SystemExit(f"{topic}: {text}") from error
                problem: Exception = error
            except ConnectionError as error:
                problem = error
            except Exception as error:
                # Its HTTP library, whichever it is, has errors of its own.
                if "http" not in type(error).__module__:
                    raise
                problem = error
            print(f"registry {self._url}: {problem}; trying again", file=sys.stderr, flush=True)
            time.sleep(self._retry)


class Reader:
    """Reads metrics, gaps and heartbeats, all partitions, committed records only, without a group.

    Iterating gives every update, in the order of its series. Where the epoch of a series steps, the update waits for
    the gap record that says what may be missing: it was committed in the same transaction, but the records of a
    transaction become visible partition by partition.

    ``complete_through``: by partition of metrics, the instant up to which everything that the source sent is there or
    lies in a declared gap. ``open_gaps``: series whose continuity is lost and not yet regained.
    """

    def __init__(self, bootstrap: str, registry: str, *, prefix: str = "zendesk.chat", account: str = "acme") -> None:
        self.complete_through: dict[int, datetime] = {}
        self.open_gaps: dict[str, dict[str, Any]] = {}
        self._metrics, self._gaps = f"{prefix}.metrics", f"{prefix}.gaps"
        self._heartbeats = f"{prefix}.{account}.heartbeats"
        self._decode = Values(registry)
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"reader-{uuid.uuid4().hex}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        self._at: dict[str, tuple[int, int]] = {}
        """Epoch and sequence of the newest update of each series."""
        self._final: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        """Final gaps by series and the epoch that they began."""
        self._held: dict[str, deque[tuple[dict[str, Any], int]]] = defaultdict(deque)

    def updates(self, *, until_end: bool = False) -> Iterator[Update]:
        """Every update from the beginning of what is kept; ``until_end``: to the end of the topics, else for ever.

        Raises:
            Incomplete: what was read cannot be all.
            KafkaException: Kafka refuses.
        """
        places = [self._places(topic) for topic in (self._metrics, self._gaps, self._heartbeats)]
        self._consumer.assign([place for topic in places for place in topic])
        unfinished = {(place.topic, place.partition) for topic in places for place in topic}
        while unfinished or not until_end:
            message = self._consumer.poll(1.0)
            if message is None:
                continue
            if message.error() is None:
                yield from self._take(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the public name of the code
                unfinished.discard((message.topic(), message.partition()))
            else:
                raise KafkaException(message.error())
        self.close()
        waiting = [name for name, held in self._held.items() if held]
        if waiting:
            raise Incomplete(f"{waiting[0]}: an epoch began without a final gap")

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        self._decode.close()

    def proven(self, update: Update) -> bool:
        """True if everything up to the update is known to be there or declared missing."""
        through = self.complete_through.get(update.partition)
        return through is not None and update.row["received_at"] <= through

    def _places(self, topic: str) -> list[TopicPartition]:
        known = self._consumer.list_topics(topic, timeout=30).topics[topic]
        if known.error is not None:
            raise KafkaException(known.error)
        return [TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in known.partitions]

    def _take(self, message: Any) -> Iterator[Update]:
        row = self._decode(message.topic(), message.value())
        assert row is not None
        if message.topic() == self._heartbeats:
            self.complete_through[message.partition()] = row["complete_through"]
            return
        series = f"{row['account']}/{row['series']}"
        if message.topic() == self._metrics:
            self._held[series].append((row, message.partition()))
        else:
            self._gap(series, row)
        yield from self._release(series)

    def _gap(self, series: str, row: dict[str, Any]) -> None:
        if row["ended_at"] is None:
            self.open_gaps[series] = row
            return
        self._final[series][row["epoch_after"]] = row
        if self.open_gaps.get(series, row)["gap_id"] == row["gap_id"]:
            self.open_gaps.pop(series, None)

    def _release(self, series: str) -> Iterator[Update]:
        """The updates whose gaps are known."""
        held = self._held[series]
        while held:
            row, partition = held[0]
            epoch, sequence = self._at.get(series, (row["epoch"], row["sequence"] - 1))
            if row["sequence"] != sequence + 1:
                raise Incomplete(f"{series}: sequence {sequence}, then {row['sequence']}")
            steps = range(epoch + 1, row["epoch"] + 1)
            if any(step not in self._final[series] for step in steps):
                return
            held.popleft()
            self._at[series] = row["epoch"], row["sequence"]
            yield Update(row, tuple(self._final[series].pop(step) for step in steps), partition)


def main(*, until_end: bool, as_json: bool) -> None:
    """Print every update, the gaps before it first."""
    reader = Reader(
        os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        os.environ["SCHEMA_REGISTRY_URL"],
        prefix=os.environ.get("PREFIX", "zendesk.chat"),
        account=os.environ.get("ACCOUNT", "acme"),
    )
    for update in reader.updates(until_end=until_end):
        row = update.row
        if as_json:
            print(json.dumps({**row, "gaps": [gap["gap_id"] for gap in update.gaps]}, default=str), flush=True)
            continue
        for gap in update.gaps:
            print(f"   gap: {gap['series']} from {gap['started_at']:%H:%M:%S} to {gap['ended_at']:%H:%M:%S},"
                  f" {gap['reason']}")  # fmt: skip
        proof = "proven" if reader.proven(update) else "not proven yet"
        print(f"{row['received_at']:%H:%M:%S}  {row['series']:<44} {row['value']}  {proof}", flush=True)
    if until_end and not as_json:
        print(f"{len(reader.open_gaps)} gaps are open; complete through", reader.complete_through)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--until-end", action="store_true", help="end at the end of the topics")
    parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")
    main(**vars(parser.parse_args()))

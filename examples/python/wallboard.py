"""A wallboard of the newest values; a value that may be out of date is grey, with the reason.

``python wallboard.py [--department 5] [--json]``. Grey means: the series has an open gap, or the heartbeats of its
partition are older than three intervals (the clocks of this machine and of the connector must agree to a second).
Needs `pip install "confluent-kafka[avro,schemaregistry]"` and, in the environment, KAFKA_BOOTSTRAP_SERVERS,
SCHEMA_REGISTRY_URL and, unless they are ``zendesk.chat`` and ``acme``, PREFIX and ACCOUNT.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
import uuid
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from reader import Values

INTERVALS = 3
"""Heartbeats that may be missed before a value is out of date."""
REFRESH = 0.5
"""Seconds between two pictures."""


class Cell(NamedTuple):
    """One value. ``grey``: why it may be out of date; None: it is up to date."""

    series: str
    department: str
    value: float | None
    unit: str
    grey: str | None


class Board:
    """What is known of every series, from three topics: ``latest``, ``gaps`` and the account's heartbeats.

    Args:
        partitions: of ``metrics``, which are those of the heartbeats.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._rows: dict[str, dict[str, Any]] = {}
        self._gaps: dict[str, dict[str, Any]] = {}
        self._beats: dict[int, dict[str, Any]] = {}

    def latest(self, key: str, row: dict[str, Any] | None) -> None:
        """A value; None: the series is no longer followed."""
        if row is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = row

    def gap(self, row: dict[str, Any]) -> None:
        """The opening or the end of a gap."""
        key = f"{row['account']}/{row['series']}"
        if row["ended_at"] is None:
            self._gaps[key] = row
        elif self._gaps.get(key, row)["gap_id"] == row["gap_id"]:
            self._gaps.pop(key, None)

    def heartbeat(self, row: dict[str, Any]) -> None:
        """A sign of life of one partition."""
        self._beats[row["partition"]] = row

    def cells(self, now: float) -> list[Cell]:
        """Every value as of ``now``, seconds since the epoch, by series."""
        return [self._cell(key, row, now) for key, row in sorted(self._rows.items())]

    def _cell(self, key: str, row: dict[str, Any], now: float) -> Cell:
        department = "all" if row["department_id"] is None else str(row["department_id"])
        gap = self._gaps.get(key)
        grey = self._silent(department, now) if gap is None else f"gap: {gap['reason']}"
        return Cell(row["series"], department, row["value"], row["unit"], grey)

    def _silent(self, department: str, now: float) -> str | None:
        beat = self._beats.get(partition_of(department.encode(), self._partitions))
        if beat is None:
            return "no heartbeat"
        age = now - beat["emitted_at"].timestamp()
        return f"no heartbeat for {age:.0f} s" if age > INTERVALS * beat["interval_ms"] / 1000 else None


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key as Java clients and the connector compute it: MurmurHash2, 32 bits."""
    factor, mask = 0x5BD1E995, 0xFFFFFFFF
    state = 0x9747B28C ^ len(key)
    for at in range(0, len(key) & ~3, 4):
        word = int.from_bytes(key[at : at + 4], "little") * factor & mask
        state = (state * factor & mask) ^ ((word ^ word >> 24) * factor & mask)
    if len(key) & 3:
        state = (state ^ int.from_bytes(key[len(key) & ~3 :], "little")) * factor & mask
    state = (state ^ state >> 13) * factor & mask
    return ((state ^ state >> 15) & 0x7FFFFFFF) % partitions


class Feed:
    """Brings the topics to the board: all of ``latest`` and ``gaps``, and the heartbeats."""

    def __init__(self, bootstrap: str, registry: str, prefix: str, account: str) -> None:
        self._latest, self._gaps = f"{prefix}.latest", f"{prefix}.gaps"
        self._heartbeats = f"{prefix}.{account}.heartbeats"
        self._decode = Values(registry)
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"wallboard-{uuid.uuid4().hex}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
            }
        )
        places = [self._places(topic) for topic in (self._latest, self._gaps, self._heartbeats)]
        self.board = Board(len(places[2]))
        self._behind = {(place.topic, place.partition) for topic in places for place in topic}
        self._consumer.assign([place for topic in places for place in topic])

    @property
    def current(self) -> bool:
        """True once everything was read that was there at first: until then the board shows the past."""
        return not self._behind

    def read(self, seconds: float) -> None:
        """Take what comes for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            message = self._consumer.poll(left)
            if message is None:
                continue
            if message.error() is None:
                self._take(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the public name of the code
                self._behind.discard((message.topic(), message.partition()))
            elif message.error().fatal() or not message.error().retriable():
                raise KafkaException(message.error())

    def _take(self, message: Any) -> None:
        row = self._decode(message.topic(), message.value())
        if message.topic() == self._latest:
            self.board.latest(message.key().decode(), row)
        elif row is not None and message.topic() == self._gaps:
            self.board.gap(row)
        elif row is not None:
            self.board.heartbeat(row)

    def _places(self, topic: str) -> list[TopicPartition]:
        known = self._consumer.list_topics(topic, timeout=30).topics[topic]
        if known.error is not None:
            raise KafkaException(known.error)
        return [TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in known.partitions]


def picture(cells: list[Cell]) -> str:
    """The board for a terminal: grey lines name their reason."""
    lines = [f"{'SERIES':<48}{'VALUE':>10} UNIT"]
    for cell in cells:
        value = "null" if cell.value is None else f"{cell.value:g}"
        text = f"{cell.series:<48}{value:>10} {cell.unit:<8}"
        lines.append(text if cell.grey is None else f"\x1b[90m{text} {cell.grey}\x1b[0m")
    return "\x1b[H\x1b[J" + "\n".join(lines)


def main(*, department: str | None, as_json: bool) -> None:
    """Draw until interrupted."""
    feed = Feed(
        os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        os.environ["SCHEMA_REGISTRY_URL"],
        os.environ.get("PREFIX", "zendesk.chat"),
        os.environ.get("ACCOUNT", "acme"),
    )
    while True:
        feed.read(REFRESH)
        if not feed.current:
            continue
        now = time.time()
        cells = [cell for cell in feed.board.cells(now) if department in (None, cell.department)]
        if as_json:
            print(json.dumps({"at": now, "cells": [cell._asdict() for cell in cells]}), flush=True)
        else:
            print(picture(cells), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--department", help="only this one: an id, or all")
    parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object each time")
    with contextlib.suppress(KeyboardInterrupt):
        main(**vars(parser.parse_args()))

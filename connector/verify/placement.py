"""Is each record where and what it says it is: key, partition, identity, timestamp. One record at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.verify.murmur import partition_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.verify.findings import Findings, Message


class Placement:
    """Checks of single records; ``partitions`` gives the number of each topic's partitions."""

    def __init__(self, account: str, shards: int, partitions: Mapping[str, int], findings: Findings) -> None:
        self._account = account
        self._shards = shards
        self._partitions = partitions
        self._findings = findings
        self._places: dict[tuple[str, int], int] = {}

    def update(self, message: Message, value: dict[str, Any]) -> None:
        """A record of metrics."""
        series = value["series"]
        event_id = f"{self._account}/{series}/{value['epoch']}/{value['sequence']}"
        if value["event_id"] != event_id:
            self._add("misidentified", message, series, f"event_id is {value['event_id']}, not {event_id}")
        if series != series_of(value):
            self._add("misidentified", message, series, f"its fields are those of {series_of(value)}")
        self._headers(message, series, value["event_id"])
        self._department_key(message, value)
        self._time(message, series, value["received_at"], "received_at")

    def latest(self, message: Message, series: str) -> None:
        """A record of latest."""
        self._key(message, series, f"{self._account}/{series}", by_key=True)
        if message.value is not None:
            self._time(message, series, message.value["received_at"], "received_at")

    def gap(self, message: Message, value: dict[str, Any]) -> None:
        """A record of gaps."""
        series = value["series"]
        gap_id = f"{self._account}/{series}/{value['epoch_after']}"
        if value["gap_id"] != gap_id:
            self._add("misidentified", message, series, f"gap_id is {value['gap_id']}, not {gap_id}")
        self._department_key(message, value)
        field = "started_at" if value["ended_at"] is None else "ended_at"
        self._time(message, series, value[field], field)

    def heartbeat(self, message: Message, value: dict[str, Any]) -> None:
        """A record of heartbeats."""
        subject = f"heartbeats of partition {message.partition}"
        self._key(message, subject, f"{self._account}/{value['partition']}")
        if value["partition"] != message.partition or value["shard"] != message.partition % self._shards:
            text = f"heartbeat of partition {value['partition']} and shard {value['shard']}"
            self._add("misplaced", message, subject, text)
        self._time(message, subject, value["complete_through"], "complete_through")

    def row(self, message: Message, value: dict[str, Any]) -> None:
        """A record of offsets."""
        self._key(message, value["series"], f"{self._account}/{value['series']}")
        if value["partition"] is not None and value["series"] != "#shard":
            self._shard(message, value["series"], value["partition"])

    def _shard(self, message: Message, series: str, partition: int) -> None:
        if message.partition != partition % self._shards:
            self._add("misplaced", message, series, f"belongs to shard {partition % self._shards}")

    def _department_key(self, message: Message, value: dict[str, Any]) -> None:
        department = value["department_id"]
        self._key(message, value["series"], "all" if department is None else str(department), by_key=True)

    def _key(self, message: Message, subject: str, key: str, *, by_key: bool = False) -> None:
        if message.key != key.encode():
            self._add("misplaced", message, subject, f"key is {message.key!r}, not {key}")
        elif by_key and message.partition != (expected := self.partition(key, self._partitions[message.topic])):
            self._add("misplaced", message, subject, f"key {key} belongs to partition {expected}")

    def partition(self, key: str, count: int) -> int:
        """The partition of a key; departments, which come in every record, are computed once."""
        if "/" in key:
            return partition_of(key.encode(), count)
        found = self._places.get((key, count))
        if found is None:
            found = self._places[key, count] = partition_of(key.encode(), count)
        return found

    def _headers(self, message: Message, subject: str, event_id: str) -> None:
        for name, content in message.headers or ():
            if name == "ce_id" and content != event_id.encode():
                self._add("misidentified", message, subject, f"header ce_id is {content!r}, not {event_id}")

    def _time(self, message: Message, subject: str, expected: int, field: str) -> None:
        if message.timestamp != expected:
            self._add("mistimed", message, subject, f"Kafka timestamp {message.timestamp}, {field} {expected}")

    def _add(self, kind: str, message: Message, subject: str, text: str) -> None:
        self._findings.add(kind, subject, text, place=message.place)


def series_of(value: dict[str, Any]) -> str:
    """The series that the fields of a record name."""
    window, department = value["window_minutes"], value["department_id"]
    ends = ("" if part is None else part for part in (window, department))
    return f"{value['family']}.{value['metric']}|{'|'.join(map(str, ends))}"

"""The recorded updates and gaps once more, under other accounts, so that a test says which of the two comes first."""

from __future__ import annotations

import functools
import gzip
import io
import json
from typing import Any

import fastavro
from confluent_kafka import Producer
from consume.golden import SAMPLES, Golden

LATER = ("department_name",)
"""What version 2 of MetricUpdate appended."""


@functools.cache
def recorded(topic: str) -> tuple[dict[str, Any], ...]:
    """The lines of the recording that belong to a topic."""
    with gzip.open(SAMPLES / "hour.jsonl.gz", "rt", encoding="utf-8") as file:
        return tuple(one for one in map(json.loads, file) if one["topic"] == topic)


def parsed(golden: Golden) -> dict[int, Any]:
    """Schema id in the registry -> schema, without any registry client."""
    recording = json.loads((SAMPLES / "recording.json").read_text())
    return {
        golden.ids[one["id"]]: fastavro.parse_schema(json.loads((SAMPLES / one["file"]).read_text()), named_schemas={})
        for one in recording["schemas"]
    }


def decoded(golden: Golden, values: list[bytes]) -> list[dict[str, Any]]:
    """Framed values as rows."""
    schemas = parsed(golden)
    return [
        fastavro.schemaless_reader(io.BytesIO(value[5:]), schemas[int.from_bytes(value[1:5], "big")], None)
        for value in values
    ]


class Again:
    """Writes recorded records for another account."""

    def __init__(self, golden: Golden) -> None:
        self._golden = golden
        self._schemas = parsed(golden)
        self._producer = Producer({"bootstrap.servers": golden.kafka, "linger.ms": 5})
        versions = json.loads((SAMPLES / "recording.json").read_text())["schemas"]
        self._ids = {
            (subject.removesuffix("-value"), one["version"]): golden.ids[one["id"]]
            for one in versions
            for subject in one["subjects"]
        }

    def write(self, topic: str, account: str, *, only: Any = None) -> int:
        """All records of a topic, or those whose row fulfils ``only``; how many."""
        lines = [one for one in recorded(topic) if only is None or only(one["json"])]
        for one in lines:
            number = self._ids[topic, one["version"]]
            value = io.BytesIO()
            fastavro.schemaless_writer(value, self._schemas[number], one["json"] | {"account": account})
            framed = b"\0" + number.to_bytes(4, "big") + value.getvalue()
            self._producer.produce(f"{self._golden.prefix}.{topic}", framed, one["key"], one["partition"])
        self._producer.flush(30)
        return len(lines)

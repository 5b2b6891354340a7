"""Released schemas stay as they are; the rules find every planted mistake; bytes of a next version can be read."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
from pathlib import Path

import fastavro
import pytest
from evolution import rules
from evolution.candidates import NULLABLE, PLANTED, changed, first, second

from connector.adapters.framing import Decoder, Encoder
from connector.adapters.recording import Recording
from connector.adapters.schema_files import NAMES, schema_text
from connector.errors import SchemaError

ROOT = Path(__file__).resolve().parents[2]
RELEASED = {
    "dead-letter.v1.avsc": "2c22310db2e2cf3efe24e2ba2d5c3fec31c29bbc5f035782b57592d6597e2697",
    "gap.v1.avsc": "69ca0631c7a8f0e554da14a308459fabc336817327e0842aa0f55eae0486bb8d",
    "heartbeat.v1.avsc": "0a9ae120e2922af6cf51a2382914a7d5ee37d4b668bd3a0378b8b01021bee57c",
    "metric-update.v1.avsc": "0d751c4c71c9b8d806cd00a3395fe918a6cf8453ad061784717ed47e11a55a76",
    "source-offset.v1.avsc": "2b07bd1c07ef549b6d83fb699c02e81f239a1c10b10786bf8b3a68270a805a87",
}
"""SHA-256 of every released file. A line is added with a release; none is ever changed."""


def test_what_was_released_stays():
    files = sorted((ROOT / "schemas" / "released").glob("*"))
    assert {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files} == RELEASED


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_is_the_newest_release_or_a_next_version_by_the_rules(name):
    history, current = rules.released(name), json.loads(schema_text(name))
    if rules.canonical(json.dumps(history[-1])) != rules.canonical(json.dumps(current)):
        history.append(current)
    assert rules.violations(history) == []


def test_the_recorded_second_version_keeps_the_rules():
    assert rules.violations([first(), second()]) == []


def test_the_command_judges_the_files(capsys):
    assert rules.main() == 0
    assert capsys.readouterr().out == "schemas: nothing found\n"


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_found(mistake):
    schema, expected, _, _ = PLANTED[mistake]
    found = rules.violations([first(), schema])
    assert any(expected in text for text in found), found


def recorded(version):
    recording = Recording(ROOT / "samples")
    (number,) = [
        one.schema_id for one in recording.schemas if "metrics-value" in one.subjects and one.version == version
    ]
    return [
        one.value
        for one in recording.records()
        if one.topic == "metrics" and int.from_bytes(one.value[1:5], "big") == number
    ]


def expected_rows():
    with gzip.open(ROOT / "samples" / "expected.metrics.jsonl.gz", "rt") as file:
        return {row["event_id"]: row for row in map(json.loads, file)}


def test_who_decodes_with_the_first_version_only_reads_the_second_too():
    """As a reader with a fixed schema does, such as Spark's from_avro; it works because fields are appended."""
    rows = expected_rows()
    decode = Decoder(lambda _: json.dumps(first()))
    found = [decode(value) for value in recorded(2)]
    assert len(found) > 500
    assert [row for row in found if rows[row["event_id"]] != row] == []


def test_a_field_in_the_middle_would_not_be_read_so():
    """Negative control of the rule: registries allow it, such readers fail or see nonsense."""
    inserted = changed(lambda it: it["fields"].insert(3, NULLABLE))
    encode, decode = Encoder("metric-update", 1, json.dumps(inserted)), Decoder(lambda _: json.dumps(first()))
    row = {**next(iter(expected_rows().values())), "extra": "text"}
    with contextlib.suppress(SchemaError):
        assert decode(encode(row)) != row


def test_both_versions_read_each_other():
    for reader, writer in ((first(), second()), (second(), first())):
        parsed = fastavro.parse_schema(json.loads(json.dumps(writer))), fastavro.parse_schema(reader)
        for value in recorded(2 if writer == second() else 1)[:50]:
            row = fastavro.schemaless_reader(io.BytesIO(value[5:]), *parsed)
            assert set(row) == {field["name"] for field in reader["fields"]}

"""What docs/topics.md promises is what the configuration creates and what the recorded hour holds."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from connector.adapters.admin import topics_of
from connector.config import Config
from connector.domain.partition import partition_for

ROOT = Path(__file__).resolve().parents[2]
DAYS = {"7 days": 7 * 86400_000, "30 days": 30 * 86400_000, "1 day": 86400_000}
ROWS = (
    "One record is", "Key", "Partitions", "Cleanup, kept", "Order", "Event time", "Nulls", "`ce_id`", "Not promised",
)  # fmt: skip


def contract():
    """Topic -> row -> text."""
    page = (ROOT / "docs" / "topics.md").read_text()
    found = {}
    for part in re.split(r"^### ", page, flags=re.MULTILINE)[1:]:
        lines = re.findall(r"^\| (.*?) ?\| (.*) \|$", part, re.MULTILINE)
        if lines and lines[0][1].startswith("`zendesk.chat"):
            found[lines[0][1].strip("`").replace("{account}", "acme")] = dict(lines[1:])
    return found


@pytest.fixture(scope="module")
def recorded():
    by_topic = defaultdict(list)
    with gzip.open(ROOT / "samples" / "hour.jsonl.gz", "rt", encoding="utf-8") as file:
        for record in map(json.loads, file):
            by_topic[record["topic"]].append(record)
    return by_topic


def test_every_topic_is_described_as_it_is_created():
    given = {
        "account": "acme",
        "source": {"token_file": "/nowhere"},
        "subscriptions": [{"metrics": ["agents.*"]}],
        "kafka": {"bootstrap_servers": "b:9092"},
        "registry": {"urls": ["http://r:8081"]},
    }
    config = Config.model_validate(given)
    topics = {one.name: one for one in topics_of(config, config.metrics_topics()) if one.name != config.names.control}
    page = contract()
    assert set(page) == set(topics)
    for name, rows in page.items():
        assert set(ROWS) <= set(rows), name
        assert int(re.match(r"\d+", rows["Partitions"])[0]) == topics[name].partitions
        cleanup, _, kept = re.match(r"(\w+)(, |: )([^.]*)", rows["Cleanup, kept"]).groups()
        assert cleanup == topics[name].settings["cleanup.policy"]
        if cleanup == "delete":
            assert DAYS[kept] == int(topics[name].settings["retention.ms"])


def test_null_values_are_tombstones_of_latest_only(recorded):
    assert {name for name, records in recorded.items() if any(one["value"] is None for one in records)} == {"latest"}
    assert all(not one["headers"] for one in recorded["latest"] if one["value"] is None)


def test_keys_and_partitions_are_as_promised(recorded):
    for name in ("metrics", "latest", "gaps", "dead-letters"):
        for one in recorded[name]:
            assert one["partition"] == partition_for(one["key"].encode(), 4)
    for one in recorded["metrics"] + recorded["gaps"]:
        department = one["json"]["department_id"]
        assert one["key"] == ("all" if department is None else str(department))
    for one in recorded["latest"]:
        assert one["json"] is None or one["key"] == f"acme/{one['json']['series']}"
    for one in recorded["acme.heartbeats"]:
        assert one["key"] == f"acme/{one['partition']}"
        assert one["json"]["partition"] == one["partition"]
    assert {one["key"] for one in recorded["dead-letters"]} > {"unknown"}


def test_kafka_timestamps_are_the_event_times(recorded):
    times = {
        "metrics": lambda it: it["received_at"],
        "gaps": lambda it: it["started_at"] if it["ended_at"] is None else it["ended_at"],
        "dead-letters": lambda it: it["received_at"],
        "acme.heartbeats": lambda it: it["complete_through"],
        "acme.offsets": lambda it: it["committed_at"],
    }
    for name, time in times.items():
        assert [one for one in recorded[name] if one["timestamp_ms"] != time(one["json"])] == []


def test_ids_are_in_the_headers(recorded):
    ids = {
        "metrics": lambda one: one["json"]["event_id"],
        "gaps": lambda one: f"{one['json']['gap_id']}/{'open' if one['json']['ended_at'] is None else 'final'}",
        "dead-letters": lambda one: one["json"]["error_id"],
        "acme.heartbeats": lambda one: f"{one['key']}/{one['json']['heartbeat_seq']}",
    }
    for name, made in ids.items():
        assert [one for one in recorded[name] if one["headers"]["ce_id"] != made(one)] == []
    assert all(not one["headers"] for one in recorded["acme.offsets"])


def test_sequences_epochs_and_gaps_are_as_promised(recorded):
    final = defaultdict(list)
    opened = set()
    for one in recorded["gaps"]:
        row = one["json"]
        if row["ended_at"] is None:
            assert row["gap_id"] not in final
            opened.add(row["gap_id"])
        else:
            final[row["gap_id"]].append(one)
    assert {len(records) for records in final.values()} == {1}
    by_series = defaultdict(list)
    for one in recorded["metrics"]:
        by_series[one["json"]["series"]].append(one)
    steps = 0
    for series, records in by_series.items():
        for before, after in itertools.pairwise(records):
            assert after["json"]["sequence"] == before["json"]["sequence"] + 1
            for epoch in range(before["json"]["epoch"] + 1, after["json"]["epoch"] + 1):
                (gap,) = final[f"acme/{series}/{epoch}"]
                assert gap["transaction"] <= after["transaction"]
                steps += 1
    assert steps > 100


def test_an_epoch_is_committed_with_its_final_gap(recorded):
    rows = {
        (one["transaction"], one["json"]["series"]): one["json"]["epoch"]
        for one in recorded["acme.offsets"]
        if one["json"]["series"] != "#shard"
    }
    for one in recorded["gaps"]:
        if one["json"]["ended_at"] is not None:
            assert rows[one["transaction"], one["json"]["series"]] >= one["json"]["epoch_after"]


def test_latest_is_written_with_the_update(recorded):
    newest = {}
    for one in recorded["metrics"]:
        newest[one["transaction"], one["json"]["series"]] = one["json"]
    for one in recorded["latest"]:
        if one["json"] is not None:
            assert newest[one["transaction"], one["json"]["series"]] == one["json"]


def test_a_value_that_is_the_same_after_a_gap_is_no_record(recorded):
    """The gap ends and the epoch steps all the same: the next update continues the sequence in a later epoch."""
    same = [
        one["json"]
        for one in recorded["gaps"]
        if one["json"]["resynced"] and one["json"]["value_before"] == one["json"]["value_after"]
    ]
    assert len(same) > 50
    written = {(one["json"]["series"], one["timestamp_ms"], one["json"]["origin"]) for one in recorded["metrics"]}
    assert not {(gap["series"], gap["ended_at"], "resync") for gap in same} & written


def test_counters_without_holes(recorded):
    beats = defaultdict(list)
    for one in recorded["acme.heartbeats"]:
        beats[one["partition"]].append(one["json"]["heartbeat_seq"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in beats.values())
    batches = [one["json"]["batch_id"] for one in recorded["acme.offsets"] if one["json"]["series"] == "#shard"]
    assert batches == list(range(1, len(batches) + 1))

"""Keys land where Kafka's Java producer puts them, for 1 to 64 partitions, by whoever of us computes it."""

from __future__ import annotations

import importlib.util
import sys
import zlib
from pathlib import Path

import pytest
from vectors import java

from connector.domain.partition import partition_for
from connector.verify.murmur import partition_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"


def of_the_wallboard():
    sys.path.insert(0, str(EXAMPLES))
    try:
        spec = importlib.util.spec_from_file_location("wallboard_example", EXAMPLES / "wallboard.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXAMPLES))
    return module.partition_of


def of_librdkafka_by_default(key, partitions):
    """Its partitioner is CRC32, unless it is told otherwise."""
    return zlib.crc32(key) % partitions


def wrong(compute):
    return [
        (key, count)
        for key, expected in java.partitions().items()
        for count in java.COUNTS
        if compute(key.encode(), count) != expected[count - 1]
    ]


def test_the_vectors_cover_every_count_and_kind_of_key():
    vectors = java.partitions()
    assert {"all", "unknown", "5", "36000012345600", "acme/chats.missed_chats|30|", "acme/#shard"} <= set(vectors)
    assert {len(numbers) for numbers in vectors.values()} == {64}


@pytest.mark.parametrize("compute", [partition_for, partition_of, of_the_wallboard()])
def test_we_agree_with_java(compute):
    assert wrong(compute) == []


def test_the_default_partitioner_would_not():
    """Negative control: the comparison sees the difference."""
    disagreeing = [place for place in wrong(of_librdkafka_by_default) if place[1] > 1]
    assert len(disagreeing) > 0.9 * len(java.partitions()) * 63 * (1 - 1 / 16)

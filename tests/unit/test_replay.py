"""What a replay changes of a record, and what it leaves."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from connector.adapters.framing import Decoder
from connector.adapters.recording import Recording
from connector.adapters.replay import TRANSACTION, Rewriting, batches
from connector.errors import ConfigError

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
IDS = {1: 101, 2: 102, 3: 103, 4: 104, 5: 105, 6: 106}


@pytest.fixture(scope="module")
def recording():
    return Recording(SAMPLES)


@pytest.fixture(scope="module")
def records(recording):
    return list(recording.records())


@pytest.fixture(scope="module")
def decode(recording):
    texts = {IDS[one.schema_id]: one.text for one in recording.schemas}
    return Decoder(texts.__getitem__)


@pytest.fixture(scope="module")
def before(recording):
    return Decoder({one.schema_id: one.text for one in recording.schemas}.__getitem__)


def test_the_own_recording_is_found(recording):
    assert Recording().counts == recording.counts


def test_no_record_is_lost_and_no_transaction_is_split(records):
    made = list(batches(iter(records)))
    assert [one for batch in made for one in batch] == records
    assert all(len(batch) >= TRANSACTION for batch in made[:-1])
    ends = [batch[-1].transaction for batch in made]
    assert all(batch[0].transaction == end + 1 for batch, end in zip(made[1:], ends, strict=False))
    assert len(made) > 20


def test_under_its_own_prefix_only_the_id_changes(recording, records):
    rewrite = Rewriting(recording, IDS, recording.prefix, 0)
    for one in records:
        made = rewrite(one.value)
        if one.value is None:
            assert made is None
        else:
            assert made[0] == 0
            assert int.from_bytes(made[1:5], "big") == IDS[int.from_bytes(one.value[1:5], "big")]
            assert made[5:] == one.value[5:]


def test_another_prefix_is_named_in_offsets_and_dead_letters(recording, records, decode, before):
    rewrite = Rewriting(recording, IDS, "sample", 0)
    for topic, group in groupby(sorted(records, key=lambda one: one.topic), key=lambda one: one.topic):
        for one in group:
            if one.value is None:
                continue
            old, new = before(one.value), decode(rewrite(one.value))
            changed = {name for name in old if old[name] != new[name]}
            if topic == "acme.offsets":
                assert changed == {"topic"}
                assert new["topic"].startswith("sample.")
            elif topic == "dead-letters":
                assert changed <= {"intended_topic"}
                assert new["intended_topic"] in (None, "sample.metrics")
            else:
                assert not changed


def test_every_time_moves_by_the_same(recording, records, decode, before):
    rewrite = Rewriting(recording, IDS, recording.prefix, 60_000)
    times = {
        "metrics": {"received_at": 60_000, "received_at_us": 60_000_000},
        "gaps": {"started_at": 60_000, "ended_at": 60_000},
        "acme.heartbeats": {"emitted_at": 60_000, "complete_through": 60_000, "last_frame_at": 60_000},
        "dead-letters": {"failed_at": 60_000, "received_at": 60_000},
    }
    for one in records:
        if one.topic in times:
            old, new = before(one.value), decode(rewrite(one.value))
            moved = {name: new[name] - old[name] for name in times[one.topic] if old[name] is not None}
            assert moved == {name: times[one.topic][name] for name in moved}
            assert {name for name in old if old[name] != new[name]} == set(moved)


def test_what_is_no_recording_is_said_to_be_none(tmp_path):
    with pytest.raises(ConfigError, match="no recording"):
        Recording(tmp_path)
    (tmp_path / "recording.json").write_text("{}")
    with pytest.raises(ConfigError, match="no recording"):
        Recording(tmp_path)

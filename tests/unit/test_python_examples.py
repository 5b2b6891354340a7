"""The Python examples without a broker: what is grey, what waits for a gap, which registry faults are survived."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from consume.registry import front

from connector.adapters.framing import Encoder
from connector.adapters.schema_files import schema_text
from connector.domain.partition import partition_for
from connector.local.process import free_port
from connector.local.registry import LocalRegistry

PROGRAMS = Path(__file__).resolve().parents[2] / "examples" / "python"
NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, PROGRAMS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


reader = loaded("reader")
wallboard = loaded("wallboard")

# What is grey.


def row(series="chats.active_chats||5", department=5, value=3.0):
    return {"account": "acme", "series": series, "department_id": department, "value": value, "unit": "chats"}


def gap(number, *, final, series="chats.active_chats||5"):
    ended = NOW if final else None
    return {
        "account": "acme", "series": series, "gap_id": f"acme/{series}/{number}", "epoch_after": number,
        "ended_at": ended, "reason": "disconnect",
    }  # fmt: skip


def beat(partition, at=NOW, interval_ms=1000):
    return {"partition": partition, "emitted_at": at, "interval_ms": interval_ms}


@pytest.fixture
def board():
    made = wallboard.Board(4)
    made.latest("acme/chats.active_chats||5", row())
    for partition in range(4):
        made.heartbeat(beat(partition))
    return made


def greys(board, seconds=0.0):
    return {cell.series: cell.grey for cell in board.cells(NOW.timestamp() + seconds)}


def test_a_value_is_grey_while_its_series_has_an_open_gap(board):
    assert greys(board) == {"chats.active_chats||5": None}
    board.gap(gap(2, final=False, series="chats.active_chats||6"))
    assert greys(board) == {"chats.active_chats||5": None}
    board.gap(gap(2, final=False))
    assert greys(board) == {"chats.active_chats||5": "gap: disconnect"}
    board.gap(gap(1, final=True))
    assert greys(board) == {"chats.active_chats||5": "gap: disconnect"}
    board.gap(gap(2, final=True))
    assert greys(board) == {"chats.active_chats||5": None}


def test_a_value_is_grey_without_three_heartbeats_of_its_partition(board):
    assert greys(board, 3.0) == {"chats.active_chats||5": None}
    assert greys(board, 3.1) == {"chats.active_chats||5": "no heartbeat for 3 s"}
    own = partition_for(b"5", 4)
    for partition in {0, 1, 2, 3} - {own}:
        board.heartbeat(beat(partition, NOW + timedelta(seconds=3)))
    assert greys(board, 3.1) == {"chats.active_chats||5": "no heartbeat for 3 s"}
    board.heartbeat(beat(own, NOW + timedelta(seconds=3)))
    assert greys(board, 3.1) == {"chats.active_chats||5": None}


def test_a_tombstone_removes_a_value(board):
    board.latest("acme/chats.active_chats||5", None)
    assert board.cells(NOW.timestamp()) == []


def test_the_board_knows_the_partitions_of_the_connector():
    keys = [b"all", *(str(number).encode() for number in range(500)), b"36000012345683"]
    for partitions in (1, 3, 12, 64):
        assert [wallboard.partition_of(key, partitions) for key in keys] == [partition_for(k, partitions) for k in keys]


# What waits for a gap.


class Feed:
    """A reader, fed by hand."""

    def __init__(self):
        self.reader = reader.Reader("127.0.0.1:1", "http://127.0.0.1:1", prefix="p")
        self.reader._decode.close()
        self.reader._decode = lambda topic, value: value

    def __call__(self, topic, value, partition=0):
        message = SimpleNamespace(topic=lambda: f"p.{topic}", partition=lambda: partition, value=lambda: value)
        return [(one.row["sequence"], [gap["epoch_after"] for gap in one.gaps]) for one in self.reader._take(message)]

    def update(self, epoch, sequence, series="chats.active_chats||5"):
        return self("metrics", {**row(series), "epoch": epoch, "sequence": sequence, "received_at": NOW})


@pytest.fixture
def feed():
    made = Feed()
    yield made
    made.reader._consumer.close()


def test_an_update_after_a_step_waits_for_its_gap(feed):
    assert feed.update(1, 7) == [(7, [])]
    assert feed.update(2, 8) == []
    assert feed.update(2, 9) == []
    assert feed.update(1, 1, "chats.active_chats||6") == [(1, [])]
    assert feed("gaps", gap(2, final=False)) == []
    assert list(feed.reader.open_gaps) == ["acme/chats.active_chats||5"]
    assert feed("gaps", gap(2, final=True)) == [(8, [2]), (9, [])]
    assert feed.reader.open_gaps == {}


def test_a_gap_may_come_before_its_update_and_several_may_lie_between_two(feed):
    assert feed.update(1, 7) == [(7, [])]
    assert feed("gaps", gap(2, final=True)) == []
    assert feed("gaps", gap(3, final=True)) == []
    assert feed.update(3, 8) == [(8, [2, 3])]


def test_a_hole_is_not_passed_over(feed):
    feed.update(1, 7)
    with pytest.raises(reader.Incomplete, match="sequence 7, then 9"):
        feed.update(1, 9)


def test_a_repetition_is_not_passed_over(feed):
    feed.update(1, 7)
    with pytest.raises(reader.Incomplete, match="sequence 7, then 7"):
        feed.update(1, 7)


def test_proof_comes_from_the_heartbeats_of_the_partition(feed):
    update = reader.Update({**row(), "received_at": NOW}, (), 2)
    assert not feed.reader.proven(update)
    feed("acme.heartbeats", {"complete_through": NOW}, partition=1)
    assert not feed.reader.proven(update)
    feed("acme.heartbeats", {"complete_through": NOW}, partition=2)
    assert feed.reader.proven(update)


# Registry faults.

VALUE = {
    "error_id": "acme/s1/1", "account": "acme", "stage": "decode", "error_class": "invalid_json", "error_message": "x",
    "failed_at": 1, "received_at": None, "session_id": None, "frame": None, "series": None, "intended_topic": None,
    "payload": b"x", "payload_size": 1, "payload_sha256": "", "truncated": False, "processor": "x",
    "processor_version": "1",
}  # fmt: skip


@pytest.fixture
def registry():
    with LocalRegistry() as running:
        yield running


@pytest.fixture
def values():
    """Makes decoders, closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(url):
            made = reader.Values(url, retry=0.05)
            stack.callback(made.close)
            return made

        yield make


def framed(number):
    return Encoder("dead-letter", number)(VALUE)


def test_a_schema_that_is_missing_is_said_to_be(registry, values):
    with pytest.raises(SystemExit, match=r"t: registry http://.*: HTTP 404: "):
        values(registry.url)("t", framed(7))


def test_refused_credentials_are_said_to_be(registry, values):
    registry.store.register("t-value", schema_text("dead-letter"))
    registry.faults.authorization = "Bearer other"
    with pytest.raises(SystemExit, match=r"registry http://.*: HTTP 401: "):
        values(registry.url)("t", framed(1))


def test_an_outage_after_the_start_stops_nothing(registry, values):
    known = registry.store.register("t-value", schema_text("dead-letter"))
    decode = values(registry.url)
    assert decode("t", framed(known))["error_id"] == VALUE["error_id"]
    registry.stop()
    assert decode("t", framed(known))["error_id"] == VALUE["error_id"]


def test_a_new_schema_waits_until_the_registry_is_back(registry, values, capsys):
    known = registry.store.register("t-value", schema_text("dead-letter"))
    port = free_port()
    decode = values(f"http://127.0.0.1:{port}")
    found = []
    waiting = threading.Thread(target=lambda: found.append(decode("t", framed(known))), daemon=True)
    waiting.start()
    waiting.join(0.5)
    assert found == []
    assert "Connection refused; trying again" in capsys.readouterr().err
    registry.faults.status = 503
    with front(registry.url, port=port, associations=404):
        waiting.join(0.5)
        assert found == []
        registry.faults.status = None
        waiting.join(20)
    assert found[0]["error_id"] == VALUE["error_id"]


@pytest.mark.parametrize("status", [405, 500])
def test_a_registry_without_associations_is_read(registry, values, status):
    known = registry.store.register("t-value", schema_text("dead-letter"))
    with front(registry.url, associations=status) as url:
        assert values(url)("t", framed(known))["error_id"] == VALUE["error_id"]
        # Negative control: this is what the client's own default does there.
        client = SchemaRegistryClient({"url": url, "max.retries": 0})
        with pytest.raises(Exception, match=str(status)):
            AvroDeserializer(client)(framed(known), SerializationContext("t", MessageField.VALUE))
        client.close()


def test_the_rows_are_printed_as_json_that_can_be_read():
    assert json.loads(json.dumps({"at": NOW}, default=str)) == {"at": "2026-11-02 09:00:00+00:00"}

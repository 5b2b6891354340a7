"""Values in the registry's framing."""

import json
import struct

import fastavro
import pytest

from connector.adapters.framing import Decoder, Encoder
from connector.adapters.schema_files import NAMES, schema_text
from connector.errors import LocalError, SchemaError

UPDATE = {
    "event_id": "acme/chats.missed_chats|30|5/1/7",
    "account": "acme",
    "family": "chats",
    "metric": "missed_chats",
    "department_id": 13388700431505,
    "window_minutes": 30,
    "value": -1.0,
    "value_raw": "-1",
    "unit": "chats",
    "origin": "update",
    "received_at": 1700000000123,
    "received_at_us": 1700000000123456,
    "series": "chats.missed_chats|30|5",
    "sequence": 7,
    "epoch": 1,
    "session_id": "s",
    "frame": 9,
    "batch_id": 3,
}


def fetch(schema_id):
    return schema_text("metric-update")


def test_round_trip_with_times_as_numbers():
    data = Encoder("metric-update", 260)(UPDATE)
    assert data[:5] == b"\x00\x00\x00\x01\x04"
    assert Decoder(fetch)(data) == UPDATE


def test_bytes_are_those_of_the_registered_schema():
    """Leaving the logical types out changes no byte."""
    import io

    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(json.loads(schema_text("metric-update"))), UPDATE)
    assert Encoder("metric-update", 1)(UPDATE)[5:] == buffer.getvalue()


def test_encoder_leaves_nothing_behind():
    encode = Encoder("metric-update", 1)
    short = encode({**UPDATE, "series": "x"})
    encode(UPDATE)
    assert encode({**UPDATE, "series": "x"}) == short


def test_older_version_reads_as_ours():
    older = json.loads(schema_text("source-offset"))
    older["fields"] = [field for field in older["fields"] if not field["name"].startswith("gap_")]
    texts = {1: json.dumps(older)}
    values = {"string": "x", "long": 1, "int": 1}
    row = {
        field["name"]: values.get(field["type"] if isinstance(field["type"], str) else "long")
        for field in older["fields"]
        if not isinstance(field["type"], list)
    }
    import io

    buffer = io.BytesIO(struct.pack(">bI", 0, 1))
    buffer.seek(5)
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(older), row)
    assert Decoder(texts.__getitem__)(buffer.getvalue()).get("gap_reason", "absent") == "absent"
    assert Decoder(texts.__getitem__, "source-offset")(buffer.getvalue())["gap_reason"] is None


@pytest.mark.parametrize("data", [b"", b"\x00\x00", b"\x01\x00\x00\x00\x01abc", b"{}"])
def test_not_framed(data):
    with pytest.raises(SchemaError, match="without the registry's framing; another program"):
        Decoder(fetch)(data)


@pytest.mark.parametrize("rest", [b"", b"\xff" * 12, b"\x02"])
def test_does_not_fit(rest):
    with pytest.raises(SchemaError, match="does not fit its schema 1"):
        Decoder(fetch)(b"\x00\x00\x00\x00\x01" + rest)


def test_no_record():
    with pytest.raises(SchemaError, match="schema 1 is no record"):
        Decoder(lambda _: '"string"')(b"\x00\x00\x00\x00\x01\x02a")


def test_schema_is_fetched_once():
    asked = []
    decode = Decoder(lambda schema_id: asked.append(schema_id) or schema_text("metric-update"))
    data = Encoder("metric-update", 5)(UPDATE)
    assert decode(data) == decode(data)
    assert asked == [5]


def test_missing_schema_file():
    with pytest.raises(LocalError, match=r"schemas/nope\.avsc: missing"):
        schema_text("nope")
    assert len(NAMES) == 5

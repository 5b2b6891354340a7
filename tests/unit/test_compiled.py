"""Encoders compiled from the schemas write the bytes that fastavro writes."""

from __future__ import annotations

import io
import json

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.adapters.compiled import UnknownTypeError, compile_record, compile_varying, varint
from connector.adapters.framing import Decoder, Encoder, plain
from connector.adapters.schema_files import NAMES, schema_text

EDGES = [
    edge + step
    for bits in (6, 7, 13, 14, 20, 21, 27, 28, 31)
    for edge in (1 << bits, -(1 << bits))
    for step in (-1, 0, 1)
]
LENGTHS = (31, 32, 63, 64, 4095, 4096, 8191, 8192, 8193)
KINDS = {
    "string": st.text(max_size=20) | st.sampled_from([letter * length for letter in "aé" for length in LENGTHS]),
    "bytes": st.binary(max_size=20) | st.sampled_from([b"a" * length for length in LENGTHS]),
    "int": (st.integers(-(2**31), 2**31 - 1) | st.sampled_from(EDGES)).filter(lambda n: -(2**31) <= n < 2**31),
    "long": st.integers(-(2**63), 2**63 - 1) | st.sampled_from([*EDGES, 2**63 - 1, -(2**63)]),
    "double": st.floats(allow_nan=False) | st.integers(-1000, 1000),
    "boolean": st.booleans(),
}


def values_of(kind):
    if isinstance(kind, dict):
        return values_of(kind["type"])
    return st.none() | values_of(kind[1]) if isinstance(kind, list) else KINDS[kind]


def records_of(name):
    fields = json.loads(schema_text(name))["fields"]
    needed = {field["name"]: values_of(field["type"]) for field in fields if "default" not in field}
    spared = {field["name"]: values_of(field["type"]) for field in fields if "default" in field}
    return st.fixed_dictionaries(needed, optional=spared)


def reference(name, value):
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, plain(schema_text(name)), value)
    return buffer.getvalue()


def refuse(*values):
    raise AssertionError(f"not written by the compiled function: {values}")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_compiled_record_has_the_bytes_of_fastavro(name, data):
    value = data.draw(records_of(name))
    write = compile_record(plain(schema_text(name)), b"#", refuse)
    assert write(value) == b"#" + reference(name, value)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_so_have_shared_and_varying_values_whichever_they_are(name, data):
    value = data.draw(records_of(name))
    names = tuple(data.draw(st.permutations(sorted(value)))[: data.draw(st.integers(0, len(value)))])
    shared = {key: one for key, one in value.items() if key not in names}
    bind = compile_varying(plain(schema_text(name)), names)
    write = bind(b"#", shared, refuse)
    assert write(*(value[key] for key in names)) == b"#" + reference(name, value)


@given(number=st.integers(0, 2**64 - 1))
def test_varint_is_the_one_of_avro(number):
    signed = number >> 1 if number % 2 == 0 else ~(number >> 1)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, "long", signed)
    assert varint(number) == buffer.getvalue()


BASE = {
    "event_id": "e",
    "account": "a",
    "family": "f",
    "metric": "m",
    "department_id": None,
    "window_minutes": 30,
    "value": 1.0,
    "value_raw": "1",
    "unit": "u",
    "origin": "update",
    "received_at": 1,
    "received_at_us": 1,
    "series": "s",
    "sequence": 1,
    "epoch": 1,
    "session_id": "s",
    "frame": 1,
    "batch_id": 1,
}
WRONG = [
    ("sequence", 2**63),
    ("sequence", "1"),
    ("account", 1),
    ("value", "1"),
    ("window_minutes", 2**31),
    ("account", "\ud800"),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_what_does_not_fit_is_refused_as_by_fastavro(field, value):
    record = {**BASE, field: value}
    with pytest.raises(Exception) as by_fastavro:
        reference("metric-update", record)
    encoder = Encoder("metric-update", 1)
    with pytest.raises(by_fastavro.type):
        encoder(record)
    bound = encoder.varying((field,))({key: one for key, one in record.items() if key != field})
    with pytest.raises(by_fastavro.type):
        bound(value)
    assert Decoder(lambda _: schema_text("metric-update"))(encoder(BASE)) == BASE


def test_a_missing_field_is_refused_as_by_fastavro():
    record = {key: value for key, value in BASE.items() if key != "sequence"}
    with pytest.raises(ValueError) as by_fastavro:
        reference("metric-update", record)
    with pytest.raises(by_fastavro.type):
        Encoder("metric-update", 1)(record)


@pytest.mark.parametrize(
    "kind",
    [{"type": "array", "items": "long"}, ["long", "null"], {"type": "enum", "name": "E", "symbols": ["A"]}, "float"],
)
def test_an_unknown_type_is_left_to_fastavro(kind):
    schema = {"type": "record", "name": "R", "fields": [{"name": "x", "type": kind}]}
    with pytest.raises(UnknownTypeError):
        compile_record(schema, b"", refuse)
    with pytest.raises(UnknownTypeError):
        compile_varying(schema, ("x",))


def test_the_encoder_falls_back_where_the_compiler_does_not_know_the_type(monkeypatch):
    text = json.dumps(
        {
            "type": "record",
            "name": "R",
            "fields": [{"name": "x", "type": {"type": "array", "items": "long"}}, {"name": "y", "type": "long"}],
        }
    )
    monkeypatch.setattr("connector.adapters.framing.schema_text", lambda _: text)
    encoder = Encoder("any", 7)
    record = {"x": [1, 2], "y": 3}
    assert Decoder(lambda _: text)(encoder(record)) == record
    assert encoder.varying(("y",))({"x": [1, 2]})(3) == encoder(record)

"""The rules of schemas/README.md."""

import io
import json
import re
from pathlib import Path

import fastavro
import pytest

from connector.adapters.schema_files import NAMES, schema_text

FOLDER = Path(__file__).parent.parent / "schemas"
FILES = sorted(FOLDER.glob("*.avsc"))
PLAIN = ["int", "long", "double", "boolean", "string", "bytes"]
TIME = {"type": "long", "logicalType": "timestamp-millis"}


def schema_of(file):
    return json.loads(file.read_text())


def fields():
    return [(file.stem, field) for file in FILES for field in schema_of(file)["fields"]]


def test_one_file_per_name():
    assert {file.stem for file in FILES} == set(NAMES)
    for file in FILES:
        assert schema_text(file.stem) == file.read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_record(file):
    schema = schema_of(file)
    assert schema["type"] == "record"
    assert schema["namespace"] == "zendesk.chat"
    assert not re.search(r"\d", schema["namespace"] + schema["name"])
    assert schema["doc"]
    assert schema["name"] == "".join(part.title() for part in file.stem.split("-"))
    assert json.loads(json.dumps(schema, indent=2)) == schema
    fastavro.parse_schema(schema)


@pytest.mark.parametrize(
    ("record", "field"), fields(), ids=lambda part: part if isinstance(part, str) else part["name"]
)
def test_field(record, field):
    assert field["doc"], "documented"
    assert re.fullmatch(r"[a-z][a-z0-9_]*", field["name"]), "lower case, for SQL sinks"
    kind = field["type"]
    if isinstance(kind, list):
        assert kind[0] == "null"
        assert len(kind) == 2
        assert field["default"] is None
        kind = kind[1]
    assert kind in [*PLAIN, TIME], "plain types and timestamp-millis only"


def test_every_nullable_field_may_be_left_out():
    """A record of required fields alone can be written and read."""
    samples = {"string": "x", "long": 1, "int": 1, "double": 1.0, "boolean": True, "bytes": b"x"}
    for file in FILES:
        schema = fastavro.parse_schema(schema_of(file))
        required = [field for field in schema["fields"] if "default" not in field]
        record = {f["name"]: samples[f["type"] if isinstance(f["type"], str) else f["type"]["type"]] for f in required}
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, schema, record)
        buffer.seek(0)
        assert set(fastavro.schemaless_reader(buffer, schema, None)) == {field["name"] for field in schema["fields"]}


def test_names_are_frozen():
    """A renamed record or namespace is another record to every reader."""
    names = {file.stem: f"{schema_of(file)['namespace']}.{schema_of(file)['name']}" for file in FILES}
    assert names == {
        "dead-letter": "zendesk.chat.DeadLetter",
        "gap": "zendesk.chat.Gap",
        "heartbeat": "zendesk.chat.Heartbeat",
        "metric-update": "zendesk.chat.MetricUpdate",
        "source-offset": "zendesk.chat.SourceOffset",
    }

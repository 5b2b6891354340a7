"""The recorded hour is what the script makes, and what the files beside it say."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path

import pytest
from consume import digest

from connector.adapters.framing import Decoder
from tests.recording.files import write

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


@pytest.fixture(scope="module")
def manifest():
    return json.loads((SAMPLES / "recording.json").read_text())


@pytest.fixture(scope="module")
def records():
    with gzip.open(SAMPLES / "hour.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_the_recording_can_be_made_again(tmp_path):
    write(tmp_path)
    for made in (path for path in tmp_path.rglob("*") if path.is_file()):
        kept = SAMPLES / made.relative_to(tmp_path)
        assert content(made) == content(kept), f"{kept.name} is old: python -m tests.recording"


def content(path):
    """Compressed bytes depend on the version of zlib, what they say does not."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def test_json_and_bytes_say_the_same(manifest, records):
    texts = {one["id"]: (SAMPLES / one["file"]).read_text() for one in manifest["schemas"]}
    decode = Decoder(texts.__getitem__)
    for record in records:
        value = None if record["value"] is None else decode(base64.b64decode(record["value"]))
        if value is not None and "payload" in value:
            value["payload"] = base64.b64encode(value["payload"]).decode()
        assert value == record["json"]


def test_the_digest_is_that_of_the_rows(manifest, records):
    rows = [one["json"] for one in records if one["topic"] == "metrics"]
    expected = manifest["expected"]["metrics"]
    assert (len(rows), digest.digest(rows)) == (expected["rows"], expected["digest"])
    kept = gzip.decompress((SAMPLES / "expected.metrics.jsonl.gz").read_bytes())
    assert hashlib.sha256(kept).hexdigest() == expected["digest"]
    assert digest.digest(rows[1:]) != expected["digest"]
    assert digest.digest([*rows, rows[0]]) != expected["digest"]


def test_times_and_numbers_have_one_form(records):
    row = next(one["json"] for one in records if one["topic"] == "metrics" and one["json"]["value"] is not None)
    as_text = digest.canonical(row)
    naive = digest.datetime.fromtimestamp(row["received_at"] / 1000, digest.UTC).replace(tzinfo=None)
    assert digest.canonical({**row, "received_at": naive, "value": int(row["value"])}) == as_text or row["value"] % 1
    assert digest.canonical({**row, "received_at": naive.isoformat() + "Z"}) == as_text
    assert digest.canonical({**row, "received_at": row["received_at"] + 1}) != as_text


def test_it_is_small():
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 3_000_000

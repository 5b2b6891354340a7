"""The recorded hour holds what it is made for and what the files beside it say; the script makes one like it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from consume import digest

from connector.adapters.framing import Decoder
from connector.adapters.recording import Recording
from tests.recording import files

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"


@pytest.fixture(scope="module")
def manifest():
    return json.loads((SAMPLES / "recording.json").read_text())


@pytest.fixture(scope="module")
def records():
    with gzip.open(SAMPLES / "hour.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def started(folder, hash_seed):
    """A process that makes a new recording. Writing checks that no peculiarity is lacking."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.recording", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT, env=environment)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_script_makes_the_same_files_each_time(tmp_path):
    folders = [tmp_path / "1", tmp_path / "2"]
    for process in [started(folder, folder.name) for folder in folders]:
        assert process.wait(250) == 0
    first, second = map(contents, folders)
    assert first == second
    kept = {str(path.relative_to(SAMPLES)) for path in SAMPLES.rglob("*") if path.is_file()}
    assert set(first) == kept - {"README.md"}


def test_the_kept_recording_lacks_nothing_either(manifest):
    recording = Recording(SAMPLES)
    records = [
        one._replace(topic=f"{recording.prefix}.{one.topic}", key=one.key.decode()) for one in recording.records()
    ]
    files.check(records)
    assert dict(sorted(Counter(map(files.suffix, records)).items())) == manifest["records"]


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

"""The AsyncAPI document is valid by the official parser, and says what the broker and the schemas say."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
import yaml
from consume import parser

needs_parser = pytest.mark.skipif(bool(parser.missing()), reason="node or npm is not installed")


def configuration(**more):
    return {
        "account": "acme",
        "source": {"token_file": "/nowhere"},
        "subscriptions": [{"metrics": ["chats.*", "agents.*"], "windows": [30]}],
        "kafka": {"bootstrap_servers": "b1:9092, b2:9092"},
        "registry": {"urls": ["https://registry:8081"]},
        **more,
    }


def printed(folder, *options, **more):
    file = folder / "connector.yaml"
    file.write_text(yaml.safe_dump(configuration(**more)))
    command = [sys.executable, "-m", "connector", "asyncapi", "--config", str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


CASES = {
    "defaults": {},
    "everything": {
        "headers": "full",
        "topics": {"metrics": "{prefix}.{family}.metrics", "prefix": "live", "latest_enabled": False},
        "kafka": {
            "bootstrap_servers": "b1:9093",
            "properties": {"security.protocol": "SASL_SSL"},
            "partitions": 30,
            "shards": 3,
        },
    },
    "no headers": {"headers": "none"},
}


@needs_parser
@pytest.mark.parametrize("case", CASES)
def test_the_official_parser_accepts_it(case, tmp_path):
    file = tmp_path / "asyncapi.yaml"
    file.write_text(printed(tmp_path, **CASES[case]))
    assert parser.judged(file) == {"valid": True, "diagnostics": []}


BROKEN = {
    "an action that does not exist": lambda it: next(iter(it["operations"].values())).update(action="publish"),
    "a reference to nothing": lambda it: next(iter(it["channels"].values()))["messages"].update(
        Other={"$ref": "#/components/messages/Other"}
    ),
    "a schema that is no Avro": lambda it: it["components"]["messages"]["Gap"]["payload"].update(
        schema={"type": "recrod", "name": "Gap", "fields": []}
    ),
    "a binding with a text for a number": lambda it: next(iter(it["channels"].values()))["bindings"]["kafka"].update(
        partitions="many"
    ),
}


@needs_parser
@pytest.mark.parametrize("mistake", BROKEN)
def test_the_official_parser_finds_a_mistake(mistake, tmp_path):
    document = copy.deepcopy(json.loads(printed(tmp_path, "--json")))
    BROKEN[mistake](document)
    file = tmp_path / "asyncapi.json"
    file.write_text(json.dumps(document))
    judged = parser.judged(file)
    assert judged["valid"] is False
    assert any(one["severity"] == 0 for one in judged["diagnostics"])

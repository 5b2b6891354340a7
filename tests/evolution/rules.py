"""The rules that every schema and every next version of one has to keep: ``python -m evolution.rules`` judges schemas/.

FULL_TRANSITIVE alone allows more than readers bear: a field in the middle breaks those that decode with one version of
the schema only, an enum cannot be read by Flink SQL, microseconds become wrong milliseconds there.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connector.adapters.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parents[2] / "schemas"
NAMESPACE = "zendesk.chat"
PLAIN = ("int", "long", "double", "boolean", "string", "bytes")
TIME = {"type": "long", "logicalType": "timestamp-millis"}
NAME = re.compile(r"[a-z][a-z0-9_]*")
RECORD = re.compile(r"[A-Z][A-Za-z]*")


def released(name: str) -> list[dict[str, Any]]:
    """Every released version of a schema, oldest first."""
    files = sorted((FOLDER / "released").glob(f"{name}.v*.avsc"), key=lambda file: int(file.stem.rpartition(".v")[2]))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def violations(history: list[dict[str, Any]]) -> list[str]:
    """What is wrong with the versions of one schema, oldest first; empty if nothing is."""
    found = [text for number, schema in enumerate(history, 1) for text in _of_one(f"v{number}", schema)]
    for number, (old, new) in enumerate(pairwise(history), 2):
        found += _of_two(f"v{number}", old, new)
    return found


def _of_one(version: str, schema: dict[str, Any]) -> Iterator[str]:
    if schema.get("type") != "record":
        yield f"{version}: no record"
        return
    if schema.get("namespace") != NAMESPACE:
        yield f"{version}: namespace is {schema.get('namespace')}, not {NAMESPACE}: no version and nothing else in it"
    if RECORD.fullmatch(schema["name"]) is None:
        yield f"{version}: record name {schema['name']}: letters only, no version in it"
    if not schema.get("doc"):
        yield f"{version}: no documentation"
    if "aliases" in schema:
        yield f"{version}: aliases: many readers ignore them"
    names = [field["name"] for field in schema["fields"]]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"{version}: {name}: twice"
    for field in schema["fields"]:
        yield from (f"{version}: {field['name']}: {text}" for text in _of_field(field))


def _of_field(field: dict[str, Any]) -> Iterator[str]:
    if NAME.fullmatch(field["name"]) is None:
        yield "not lower case: SQL sinks fold names"
    if not field.get("doc"):
        yield "no documentation"
    if "aliases" in field:
        yield "aliases: many readers ignore them"
    kind = field["type"]
    if isinstance(kind, list):
        if len(kind) != 2 or kind[0] != "null":
            yield f"union {kind}: only null and one type, null first"
            return
        if "default" not in field or field["default"] is not None:
            yield "nullable without the default null"
        kind = kind[1]
    if kind not in (*PLAIN, TIME):
        yield f"type {json.dumps(kind)}: only {', '.join(PLAIN)} and timestamp-millis"


def _of_two(version: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    if canonical(json.dumps(old)) == canonical(json.dumps(new)):
        yield f"{version}: only documentation differs: that is no new version"
    if (old["namespace"], old["name"]) != (new["namespace"], new["name"]):
        yield f"{version}: renamed from {old['namespace']}.{old['name']}"
    kept = len(old["fields"])
    for at, before in enumerate(old["fields"]):
        after = new["fields"][at] if at < len(new["fields"]) else None
        if after is None or _essence(after) != _essence(before):
            yield f"{version}: {before['name']}: changed, moved or gone; new fields go to the end"
    for field in new["fields"][kept:]:
        if not isinstance(field["type"], list):
            yield f"{version}: {field['name']}: a new field has to be nullable"


def _essence(field: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in field.items() if key != "doc"}


def main() -> int:
    """Judge every schema with its history; the exit code."""
    bad = 0
    for file in sorted(FOLDER.glob("*.avsc")):
        history = released(file.stem)
        current = json.loads(file.read_text(encoding="utf-8"))
        if not history or canonical(json.dumps(history[-1])) != canonical(json.dumps(current)):
            history.append(current)
        for text in violations(history):
            bad += 1
            print(f"{file.name}: {text}")
    print("schemas: nothing found" if not bad else f"schemas: {bad} violations")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())

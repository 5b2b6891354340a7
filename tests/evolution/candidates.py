"""Next versions of MetricUpdate: the recorded one, and what must not become one."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from evolution.rules import FOLDER, released

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = FOLDER.parent / "samples" / "schemas" / "metric-update.v2.avsc"
NULLABLE = {"name": "extra", "type": ["null", "string"], "doc": "x", "default": None}


def first() -> dict[str, Any]:
    """The version that is released."""
    return released("metric-update")[0]


def second() -> dict[str, Any]:
    """The version that the recorded hour holds besides."""
    return json.loads(SECOND.read_text(encoding="utf-8"))


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first version with one change."""
    schema = copy.deepcopy(first())
    change(schema)
    return schema


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """A field by its name."""
    return next(one for one in schema["fields"] if one["name"] == name)


def _drop(schema: dict[str, Any], name: str) -> None:
    schema["fields"].remove(field(schema, name))


MICROS = {"type": "long", "logicalType": "timestamp-micros"}
ENUM = {"type": "enum", "name": "Family", "symbols": ["chats", "agents"]}

PLANTED: dict[str, tuple[dict[str, Any], str, bool, bool]] = {
    "a required field": (
        changed(lambda it: it["fields"].append({"name": "extra", "type": "string", "doc": "x"})),
        "extra: a new field has to be nullable",
        False,
        True,
    ),
    "a field that is gone": (changed(lambda it: _drop(it, "frame")), "frame: changed, moved or gone", True, False),
    "a nullable field that is gone": (
        changed(lambda it: _drop(it, "value_raw")), "value_raw: changed, moved or gone", True, True,
    ),
    "a wider type": (
        changed(lambda it: field(it, "frame").update(type="double")), "frame: changed, moved or gone", True, False,
    ),
    "an enum": (changed(lambda it: field(it, "family").update(type=ENUM)), "family: type", False, False),
    "another record name": (
        changed(lambda it: it.update(name="Update")), "renamed from zendesk.chat.MetricUpdate", False, False,
    ),
    "a version in the namespace": (
        changed(lambda it: it.update(namespace="zendesk.chat.v2")), "namespace is zendesk.chat.v2", True, True,
    ),
    "a field in the middle": (
        changed(lambda it: it["fields"].insert(3, NULLABLE)), "metric: changed, moved or gone", True, True,
    ),
    "microseconds": (
        changed(lambda it: field(it, "received_at").update(type=MICROS)), "received_at: type", True, True,
    ),
    "a union of three": (
        changed(lambda it: it["fields"].append({**NULLABLE, "type": ["null", "long", "string"]})),
        "extra: union",
        True,
        True,
    ),
    "null behind the type": (
        changed(lambda it: it["fields"].append({**NULLABLE, "type": ["string", "null"], "default": "x"})),
        "extra: union",
        True,
        True,
    ),
    "a nullable field without default": (
        changed(lambda it: it["fields"].append({"name": "extra", "type": ["null", "string"], "doc": "x"})),
        "extra: nullable without the default null",
        False,
        True,
    ),
    "a map": (
        changed(lambda it: it["fields"].append({**NULLABLE, "type": ["null", {"type": "map", "values": "long"}]})),
        "extra: type",
        True,
        True,
    ),
    "upper case": (
        changed(lambda it: it["fields"].append({**NULLABLE, "name": "departmentName"})), "not lower case", True, True,
    ),
    "no documentation": (
        changed(lambda it: it["fields"].append({**NULLABLE, "doc": ""})), "extra: no documentation", True, True,
    ),
    "documentation only": (
        changed(lambda it: field(it, "frame").update(doc="another text")), "only documentation differs", True, True,
    ),
    "an alias": (changed(lambda it: field(it, "frame").update(aliases=["no"])), "frame: aliases", True, True),
}  # fmt: skip
"""Change -> next version, what the rules say of it, and whether Avro lets it read the first and be read by it."""

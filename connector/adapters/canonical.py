"""Schemas as comparable texts: what decides about bytes and reading, without the documentation."""

from __future__ import annotations

import json
from typing import Any

from connector.adapters.schema_files import REMEDY
from connector.errors import SchemaError

Versions = list[tuple[int, str]]
"""Schema id and text, oldest first."""


def canonical(text: str) -> str:
    """A schema as comparable text."""
    return json.dumps(_canonical(json.loads(text)), sort_keys=True)


def _canonical(schema: Any) -> Any:
    if isinstance(schema, dict):
        kept = {key: _canonical(value) for key, value in schema.items() if key != "doc"}
        return kept["type"] if set(kept) == {"type"} else kept
    if isinstance(schema, list):
        return [_canonical(part) for part in schema]
    return schema


def find(versions: Versions, text: str) -> int | None:
    """The id of the newest version that equals a schema; None if none does."""
    wanted = canonical(text)
    return next((schema_id for schema_id, known in reversed(versions) if canonical(known) == wanted), None)


def registered(subject: str, name: str, text: str, versions: Versions) -> int:
    """The id under which a subject has our schema, given by name and text.

    Raises:
        SchemaError: none of its versions is our schema.
    """
    if not versions:
        raise SchemaError(f"subject {subject}: not in the registry; {REMEDY}")
    schema_id = find(versions, text)
    if schema_id is None:
        raise SchemaError(f"subject {subject}: no version of it equals {name}.avsc; {REMEDY}")
    return schema_id


def changes(old: str, new: str) -> str:
    """The fields that differ, for registries that do not say why they refuse."""
    before, after = ({f["name"]: _canonical(f) for f in json.loads(text).get("fields", ())} for text in (old, new))
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return f"incompatible; these fields differ from the newest version: {', '.join(changed)}"

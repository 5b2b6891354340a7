"""Rows of MetricUpdate as one canonical text, so that readers in any language can be compared by digest.

A row is one JSON object a line: the fields of version 1 in the order of the schema, no spaces, ASCII; times are
milliseconds since the epoch, numbers of `value` are doubles (``3.0``). Fields of later versions are left out unless
they are asked for; a record of an earlier version has null there. The
digest is the SHA-256 of the sorted lines, each ended by a newline: of samples/expected.*.jsonl, uncompressed.

As a command: ``python tests/consume/digest.py FILE`` prints the digest and the number of rows of a file with one JSON
object a line (``-``: standard input; ``.gz`` is understood).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TYPES = {
    "event_id": str,
    "account": str,
    "family": str,
    "metric": str,
    "department_id": int,
    "window_minutes": int,
    "value": float,
    "value_raw": str,
    "unit": str,
    "origin": str,
    "received_at": int,
    "received_at_us": int,
    "series": str,
    "sequence": int,
    "epoch": int,
    "session_id": str,
    "frame": int,
    "batch_id": int,
}
"""The fields of version 1 and what they are."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def canonical(row: Mapping[str, Any], later: tuple[str, ...] = ()) -> str:
    """One row as text. ``row`` has every field; times are milliseconds, datetimes (UTC if naive) or ISO 8601 texts.

    ``later``: texts of later versions, which the rows of earlier ones may lack.
    """
    fields = {name: _field(name, kind, row[name]) for name, kind in TYPES.items()}
    fields |= {name: _field(name, str, row.get(name)) for name in later}
    return json.dumps(fields, separators=(",", ":"), allow_nan=False)


def lines(rows: Iterable[Mapping[str, Any]], later: tuple[str, ...] = ()) -> list[str]:
    """All rows as text, sorted."""
    return sorted(canonical(row, later) for row in rows)


def digest(rows: Iterable[Mapping[str, Any]], later: tuple[str, ...] = ()) -> str:
    """The SHA-256 of all rows, hex."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines(rows, later)).encode()).hexdigest()


def read(path: str) -> Iterator[dict[str, Any]]:
    """Rows of a file with one JSON object a line."""
    if path == "-":
        yield from map(json.loads, sys.stdin)
        return
    with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8") as file:  # noqa: PTH123
        yield from map(json.loads, file)


def _field(name: str, kind: type, value: Any) -> Any:
    if value is None:
        return None
    if name == "received_at" and not isinstance(value, int):
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return round((at - _EPOCH).total_seconds() * 1000)
    return kind(value)


if __name__ == "__main__":
    found = list(read(sys.argv[1]))
    print(digest(found), len(found))

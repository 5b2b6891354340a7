"""The tables of examples/flink/tables.sql: their columns, a query of each, and the rows that it must give."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from consume.arrivals import recorded
from consume.readme import EXAMPLES

TOPICS = {
    "gaps": "gaps",
    "dead_letters": "dead-letters",
    "heartbeats": "acme.heartbeats",
    "source_offsets": "acme.offsets",
}
"""Table -> topic, of the tables that no file of the example shows whole."""
UPSERTS = ("source_offsets",)
"""Of these only the newest row of a key stays."""


def columns(table: str) -> dict[str, str]:
    """Column -> type, as the DDL has them, the key ``k`` first."""
    text = (EXAMPLES / "flink" / "tables.sql").read_text()
    body = re.search(rf"CREATE TABLE {table} \(\n(.*?)\n\) WITH", text, re.DOTALL).group(1)
    lines = [line.strip().rstrip(",").replace("`", "").split(None, 1) for line in body.splitlines()]
    return {name: kind.removesuffix(" NOT NULL") for name, kind in lines if name not in ("WATERMARK", "PRIMARY")}


def queries() -> str:
    """A SELECT of every column of each table, as SQL."""
    return "".join(
        f"SELECT '{table}' AS `view`, {', '.join(f'`{name}`' for name in columns(table))} FROM {table};\n"
        for table in TOPICS
    )


def expected(table: str) -> list[dict[str, Any]]:
    """The recorded rows, by the columns of the table."""
    names = columns(table)
    rows = [{name: (one["json"] | {"k": one["key"]})[name] for name in names} for one in recorded(TOPICS[table])]
    if table in UPSERTS:
        rows = list({row["k"]: row for row in rows}.values())
    return in_order(rows)


def found(table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that Flink printed, with times in milliseconds."""
    kinds = columns(table)
    return in_order([{name: _plain(kinds[name], value) for name, value in row.items()} for row in rows])


def milliseconds(at: str) -> int:
    """Of an ISO 8601 text; UTC if it names no zone."""
    read = datetime.fromisoformat(at)
    read = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    return round(read.timestamp() * 1000)


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(list(row.values())))


def _plain(kind: str, value: Any) -> Any:
    return milliseconds(value) if kind.startswith("TIMESTAMP") and value is not None else value

"""The averages per department and minute, computed from the recording by nothing but arithmetic."""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from consume.arrivals import recorded
from consume.tables import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MINUTE = 60_000
LATENESS = 5_000
"""Milliseconds that a watermark stays behind the newest update."""
ZERO = Fraction(0)
Windows = dict[tuple[Any, ...], tuple[float | None, int]]
"""(start, account, department, metric, window of the metric) -> average, number of updates."""


def expected(*, null: Fraction | None = None) -> Windows:
    """Of every minute; an average leaves nulls out. ``null``: they count as this instead, which is wrong."""
    values = defaultdict(list)
    for row in (one["json"] for one in recorded("metrics")):
        start = row["received_at"] // MINUTE * MINUTE
        place = start, row["account"], row["department_id"], row["metric"], row["window_minutes"]
        values[place].append(null if row["value"] is None else Fraction(row["value"]))
    return {place: (_mean([one for one in found if one is not None]), len(found)) for place, found in values.items()}


def closed(windows: Windows) -> Windows:
    """Those that a watermark of the updates alone closes: it stays behind the newest update."""
    newest = max(one["json"]["received_at"] for one in recorded("metrics"))
    return {place: window for place, window in windows.items() if place[0] + MINUTE <= newest - LATENESS}


def by_department(limit: int) -> list[tuple[Any, ...]]:
    """What the lakehouse's question gives: (department, metric, window, updates, average), null last."""
    values = defaultdict(list)
    for row in (one["json"] for one in recorded("metrics")):
        values[row["department_id"], row["metric"], row["window_minutes"]].append(row["value"])
    rows = []
    for place, found in values.items():
        mean = _mean([Fraction(one) for one in found if one is not None])
        rows.append((*place, len(found), mean if mean is None else round(mean, 2)))
    return sorted(rows, key=lambda row: [(one is None, one) for one in row])[:limit]


def found(rows: Iterable[Mapping[str, Any]], start: str) -> Windows:
    """The windows of a reader's rows; each once. ``start``: the name of the column."""
    windows = {}
    for row in rows:
        place = milliseconds(row[start]), row["account"], row["department_id"], row["metric"], row["window_minutes"]
        assert place not in windows, place
        windows[place] = row["average"], row["updates"]
    return windows


def printed(text: str) -> list[tuple[Any, ...]]:
    """The same from what DuckDB printed: the lines of a box, below its head."""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    rows = [cells for cells in lines if cells[3].isdigit()]
    return [
        (_number(department), metric, _number(window), int(updates), None if average == "NULL" else float(average))
        for department, metric, window, updates, average in rows
    ]


def different(one: Windows, other: Windows) -> list[Any]:
    """The windows that are not in both, with the same number of updates and, but for rounding, the same average."""
    nothing = (math.nan, -1)
    return [
        place for place in one.keys() | other.keys() if not _same(one.get(place, nothing), other.get(place, nothing))
    ]


def _same(one: tuple[float | None, int], other: tuple[float | None, int]) -> bool:
    if None in (one[0], other[0]):
        return one == other
    return one[1] == other[1] and math.isclose(one[0], other[0], rel_tol=1e-9)


def _number(cell: str) -> int | None:
    return None if cell == "NULL" else int(cell)


def _mean(values: list[Fraction]) -> float | None:
    return float(sum(values) / len(values)) if values else None

"""What one update costs as the account grows: series, departments, shards, and sessions side by side."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from bench import measures
from bench.rig import Rig, Run

if TYPE_CHECKING:
    from bench.measures import Row

SERIES = (10, 100, 1000, 10_000)
DEPARTMENTS = (20, 60, 300)
SPREAD = 300
"""Series that are spread over the departments."""
SHARDS = (1, 2, 4, 8)
SESSIONS = (1, 2, 4)


def growth(rig: Rig, updates: int) -> list[Row]:
    """The cost of an update against the number of series: latest and offsets have a record per series and batch."""
    rows = []
    for count in SERIES:
        with Run(rig, series=count, every=1000) as run:
            run.burst(5000)
            rows.append({"series": count, **measures.median([run.burst(updates) for _ in range(measures.ROUNDS)])})
            rows[-1]["clean"] = run.verify()
    return rows


def departments(rig: Rig, updates: int) -> list[Row]:
    """The same number of series, of more and more departments: each has a key, hence a partition, of its own."""
    rows = []
    for count in DEPARTMENTS:
        with Run(rig, series=SPREAD, departments=count, every=1000) as run:
            run.burst(5000)
            found = measures.median([run.burst(updates) for _ in range(measures.ROUNDS)])
            rows.append({"departments": count, "series": SPREAD, **found, "clean": run.verify()})
    return rows


def shards(rig: Rig, updates: int) -> list[Row]:
    """One process and one session that owns all shards: a producer, a thread and a transaction for each."""
    made = {str(count): partial(Run, rig, every=1000, config={"kafka": {"shards": count}}) for count in SHARDS}
    rows = measures.in_turn(made, updates)
    return [{"shards": int(row.pop("program")), **row} for row in rows]


def sessions(rig: Rig, updates: int) -> list[Row]:
    """Accounts followed at the same time, each with a process and a session of its own; the work is shared out."""
    return [_sessions(rig, count, updates // count) for count in SESSIONS]


def _sessions(rig: Rig, count: int, updates: int) -> Row:
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(Run(rig, every=1000)) for _ in range(count)]
        together(runs, 5000)
        found = measures.median([together(runs, updates) for _ in range(measures.ROUNDS)])
        return {"sessions": count, **found, "clean": all(run.verify() for run in runs)}


def together(runs: list[Run], updates: int) -> dict[str, float]:
    """A burst of each at the same time: the sum of their rates, from the first begin to the last end."""
    begun = [run.begin(updates) for run in runs]
    ends = [run.finish(one) for run, one in zip(runs, begun, strict=True)]
    sent = sum(one["sent"] for one in ends)
    seconds = max(one["last"] for one in ends) - min(one["began"] for one in ends)
    return {
        "updates_per_second": sent / seconds,
        "cpu_us_per_update": sum(one["cpu"] for one in ends) / sent * 1e6,
        "peak_rss_mb": max(one["peak_rss_mb"] for one in ends),
        "sent": sent,
    }

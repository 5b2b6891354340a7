"""One row for each fault: what was found, and how long nothing was committed."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from faults.oracle import Verdict, judge
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from faults.pair import Pair


@dataclass
class Result:
    """Sums over the runs of one fault."""

    fault: str
    runs: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    undeclared: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    aborted: int = 0
    """Records that only read_uncommitted shows."""
    early_ms: float = 0.0
    pauses: list[float] = field(default_factory=list)
    """Seconds from the last commit before the fault to the first after it."""
    failovers: list[float] = field(default_factory=list)
    """Seconds from the fault to the first commit of the next owner epoch."""
    values: int = 0

    def add(self, verdict: Verdict) -> None:
        self.lost += len(verdict.lost)
        self.duplicated += len(verdict.duplicated)
        self.reordered += len(verdict.reordered)
        self.undeclared += len(verdict.undeclared)
        self.early_ms = max(self.early_ms, verdict.early_ms)
        for reason, count in verdict.gaps.items():
            self.gaps[reason] = self.gaps.get(reason, 0) + count


class Run:
    """One fault on a pair: mark the instant with `fault`, wait with `recovered`, end with `judge`."""

    def __init__(self, pair: Pair, result: Result) -> None:
        self.pair = pair
        self.result = result
        self.began_us = time.time_ns() // 1000
        self._at = 0.0
        self._epoch = 0

    def fault(self) -> None:
        """The fault happens now."""
        self._at = time.time()
        self._epoch = self.epoch()

    def epoch(self) -> int:
        return max((one.value["owner_epoch"] for one in self.pair.audit.rows()), default=0)

    def recovered(self, *, owner: str | None = None, taken_over: bool = False, more: int = 30) -> None:
        """Updates flow again, from ``owner`` if one is named, in a new owner epoch if it was taken over."""
        if owner is not None:
            what = f"{owner} to publish: {self.pair.log(owner)[-3000:]}"
            wait_until(lambda: self.pair.audit.owner() == owner, what=what)
        if taken_over or owner is not None:
            wait_until(lambda: self.epoch() > self._epoch, what="a new owner epoch")
            after = next(one for one in self.pair.audit.rows() if one.value["owner_epoch"] > self._epoch)
            self.result.failovers.append(after.seen - self._at)
        self.pair.wait_for_commits(more)
        self.result.pauses.append(self._pause())
        self.result.runs += 1

    def _pause(self) -> float:
        seen = [one.seen for one in self.pair.audit.messages["metrics"]]
        before = max((one for one in seen if one <= self._at), default=self._at)
        times = sorted({before, *(one for one in seen if one > self._at)})
        return max(b - a for a, b in itertools.pairwise(times))

    def judge(self, *, known: set[str] | None = None) -> Verdict:
        """Compare with the journal; findings of earlier faults on the same pair are not told again."""
        self.pair.settle()
        verdict = judge(self.pair.source.lines(), self.pair.audit.messages, since_us=self.began_us)
        seen = set() if known is None else known
        for kind in ("lost", "duplicated", "reordered", "undeclared"):
            setattr(verdict, kind, [one for one in getattr(verdict, kind) if one not in seen])
        seen.update(verdict.faults)
        self.result.add(verdict)
        self.result.values = verdict.values
        return verdict


def save(results: list[Result], file: Path) -> None:
    """Append to the results file, one JSON line for each."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as out:
        out.writelines(json.dumps(asdict(result)) + "\n" for result in results)


def table(results: list[Result]) -> str:
    """Markdown."""
    columns = "fault, runs, lost, duplicated, reordered, undeclared, gaps, aborted extras, gap early (ms)"
    head = [*columns.split(", "), "pause p50 / p99 (s)", "failover p50 / p99 (s)"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for one in results:
        gaps = ", ".join(f"{count} {reason}" for reason, count in sorted(one.gaps.items())) or "0"
        lines.append(
            f"| {one.fault} | {one.runs} | {one.lost} | {one.duplicated} | {one.reordered} | {one.undeclared} | {gaps}"
            f" | {one.aborted} | {one.early_ms:.0f} | {quantiles(one.pauses)} | {quantiles(one.failovers)} |"
        )
    return "\n".join(lines)


def quantiles(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    return f"{statistics.median(ordered):.1f} / {p99:.1f}"

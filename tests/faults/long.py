"""Long proofs, run once and reported: `python -m faults.long kills --runs 200`, or another fault, or `all`.

Every block of runs is one line of the results file; a second call goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from faults.cluster import Cluster
from faults.kills import kill_once
from faults.late import late_end_of_transaction
from faults.pair import Pair
from faults.results import Result, Run, save, table

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 10
"""Runs on one pair, which are judged together."""
KILLS = "SIGKILL of the owner"
LATE = "late EndTxn"
CONTROL = "control: late EndTxn without the rebuild rule"
STOPPED = "SIGSTOP of the owner for 60 s"
TERMINATED = "SIGTERM of the owner"
HEALTHY = (KILLS, STOPPED, TERMINATED)
"""Kafka is well meanwhile, so gaps have to begin closely before what is missing."""
EARLY_MS = 2000
"""Two heartbeats."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fault", choices=(*PLAN, "all"))
    parser.add_argument("--runs", type=int, help="of this fault; by default what the plan says")
    parser.add_argument("--results", type=Path, default=Path("build/fault-results-long.jsonl"))
    given = parser.parse_args(arguments)
    chosen = list(PLAN.values()) if given.fault == "all" else [PLAN[given.fault]]
    with Cluster() as cluster:
        for fault, runs, block in chosen:
            series(cluster, fault, given.runs or runs, block, given.results)
    results = [total(given.results, fault) for fault, _, _ in chosen]
    print(table(results))
    broken = [text for one in results for text in wrong(one)]
    print(*broken, sep="\n")
    return int(bool(broken))


def wrong(result: Result) -> list[str]:
    """Why the sum of one fault does not pass; a control passes by losing something."""
    if result.fault == CONTROL:
        return [] if result.lost else [f"{CONTROL}: nothing was lost in {result.runs} runs, so it proves nothing"]
    counts = {kind: getattr(result, kind) for kind in ("lost", "duplicated", "reordered", "undeclared")}
    found = [f"{result.fault}: {count} {kind}" for kind, count in counts.items() if count]
    if result.fault in HEALTHY and result.early_ms > EARLY_MS:
        found.append(f"{result.fault}: a gap begins {result.early_ms:.0f} ms before its oldest missing value")
    return found


def series(cluster: Cluster, fault: str, runs: int, block: Callable[[Run, int], None], file: Path) -> None:
    """Blocks until the file holds enough runs of this fault."""
    while (done := total(file, fault).runs) < runs:
        result = Result(fault)
        build = "no_rebuild" if fault == CONTROL else "connector"
        with tempfile.TemporaryDirectory() as folder, Pair(cluster, Path(folder), build=build) as pair:
            pair.start_both()
            run = Run(pair, result)
            block(run, min(BLOCK, runs - done))
            result.aborted = pair.aborted()
            verdict = run.judge()
            cluster.heal()
        save([result], file)
        print(table([result]).splitlines()[-1], *verdict.faults[:5], sep="\n", flush=True)


def total(file: Path, fault: str) -> Result:
    """The sum of what the file holds of one fault."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    found = Result(fault)
    for line in lines:
        if line["fault"] == fault:
            found = added(found, Result(**line))
    return found


def added(one: Result, more: Result) -> Result:
    """The sum of two results of the same fault."""
    values = asdict(one)
    for field in fields(Result):
        name, value = field.name, getattr(more, field.name)
        if name == "gaps":
            values[name] = {key: one.gaps.get(key, 0) + value.get(key, 0) for key in {*one.gaps, *value}}
        elif name == "early_ms":
            values[name] = max(one.early_ms, value)
        elif name != "fault":
            values[name] = values[name] + value
    return Result(**values)


# One block of each fault.


def kills(run: Run, runs: int) -> None:
    chance = random.Random()
    for at in range(runs):
        kill_once(run, {2: "before-commit", 6: "after-commit"}.get(at, "random"), chance)


def stopped(run: Run, runs: int) -> None:
    for _ in range(runs):
        owner, standby = run.pair.owner(), run.pair.standby()
        run.fault()
        run.pair.signal(owner, signal.SIGSTOP)
        run.recovered(owner=standby)
        time.sleep(60 - run.result.failovers[-1])
        run.pair.signal(owner, signal.SIGCONT)
        run.pair.wait_joined(owner)


def terminated(run: Run, runs: int) -> None:
    for _ in range(runs):
        owner, standby = run.pair.owner(), run.pair.standby()
        run.fault()
        run.pair.signal(owner, signal.SIGTERM)
        assert run.pair.processes[owner].wait(60) == 0
        run.recovered(owner=standby)
        run.pair.start(owner)
        run.pair.wait_joined(owner)


def outage(seconds: float) -> Callable[[Run, int], None]:
    def block(run: Run, runs: int) -> None:
        for _ in range(runs):
            run.fault()
            run.pair.cluster.outage(seconds)
            run.recovered()
            run.pair.cluster.wait_in_sync()

    return block


def late(run: Run, runs: int) -> None:
    for _ in range(runs):
        run.fault()
        late_end_of_transaction(run.pair, run.pair.owner())
        run.recovered()


PLAN: dict[str, tuple[str, int, Callable[[Run, int], None]]] = {
    "kills": (KILLS, 200, kills),
    "stopped": (STOPPED, 20, stopped),
    "terminated": (TERMINATED, 20, terminated),
    "outage": ("all brokers down for 60 s", 20, outage(60)),
    "long-outage": ("all brokers down for 600 s", 1, outage(600)),
    "late": (LATE, 200, late),
    "control": (CONTROL, 200, late),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

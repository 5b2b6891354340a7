"""`python -m bench`: measure everything and write a report with plots. `--short` only shows that it runs.

A section that fails or takes too long is told in the report; the others are measured all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import measures
from bench.commits import commits
from bench.emulation import emulation
from bench.growth import departments, growth, sessions, shards
from bench.recovery import recovery
from bench.report import write
from bench.rig import ROOT, Rig
from bench.stages import broker_stages, stages
from bench.watching import reloads, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


LIMIT = 900
"""Seconds that one section may take."""
SHORT = 0.02
"""The scale of `--short`."""


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Ends what takes longer, wherever it waits.

    Raises:
        TimeoutError
    """

    def expire(_number: int, _frame: object) -> None:
        raise TimeoutError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(measure: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of a section; if it fails, one row that says so."""
    try:
        with limited(LIMIT):
            return measure()
    except Exception as error:  # noqa: BLE001 - the other sections must not be lost
        return [{"failed": f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}"}]


def sections(rig: Rig, scale: float) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    """What is measured, by the name of its section."""
    updates = max(2000, int(400_000 * scale))
    seconds = max(1.0, 8 * scale)
    return {
        "stages": lambda: [*stages(), *broker_stages(rig)],
        "throughput": lambda: measures.throughput(rig, updates),
        "rates": lambda: measures.rates(rig, seconds),
        "intervals": lambda: measures.intervals(rig, seconds),
        "start_and_stop": lambda: measures.start_and_stop(rig),
        "recovery": lambda: recovery(rig),
        "growth": lambda: growth(rig, updates // 2),
        "departments": lambda: departments(rig, updates // 2),
        "shards": lambda: shards(rig, updates // 2),
        "sessions": lambda: sessions(rig, updates // 2),
        "variants": lambda: measures.variants(rig, updates // 2),
        "watching": lambda: watching(rig, updates // 4),
        "reloads": lambda: reloads(rig),
        "commits": lambda: commits(rig, max(20, int(200 * scale))),
        "emulation": lambda: emulation(seconds),
        "imports": measures.imports,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="how much of the full length each run has")
    parser.add_argument("--only", nargs="*", help="sections to measure; the others are kept as they were")
    parser.add_argument("--resume", action="store_true", help="measure only what the report has not at this scale")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "report")
    parser.add_argument("--short", action="store_true", help=f"the same as --scale {SHORT}")
    options = parser.parse_args()
    if options.short:
        options.scale = SHORT
    if options.scale < 0.25:
        measures.ROUNDS = 1
    file = options.out / "report.json"
    keep = (options.only or options.resume) and file.exists()
    report: dict[str, Any] = json.loads(file.read_text()) if keep else {"sections": {}}
    with Rig() as rig:
        for name, measure in sections(rig, options.scale).items():
            if options.only and name not in options.only:
                continue
            if options.resume and done(report["sections"].get(name), options.scale):
                continue
            print(f"{name} …", flush=True)
            report["sections"][name] = one_section(measure, options.scale)
            report["machine"] = {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "kernel": platform.release(),
            }
            options.out.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(report, indent=1) + "\n")
            write(report, options.out)
            for row in report["sections"][name]["rows"]:
                print(name, json.dumps(row), flush=True)
    write(report, options.out)
    bad = {name: problem for name, one in report["sections"].items() if (problem := wrong(one["rows"]))}
    if bad:
        raise SystemExit("; ".join(f"{name}: {problem}" for name, problem in bad.items()))


def one_section(measure: Callable[[], list[dict[str, Any]]], scale: float) -> dict[str, Any]:
    """Its rows, and under which circumstances they were measured."""
    load, began = os.getloadavg()[0], time.time()
    rows = attempt(measure)
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return {"load_before": load, "scale": scale, "seconds": time.time() - began, "date": date, "rows": rows}


def done(section: dict[str, Any] | None, scale: float) -> bool:
    """True if a section need not be measured again: it has this length, all of it, and today's date."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return (
        section is not None
        and section["scale"] == scale
        and section.get("date") == today
        and not wrong(section["rows"])
    )


def wrong(rows: list[dict[str, Any]]) -> str | None:
    """What is the matter with a section: it failed, or an audit found something."""
    if "failed" in rows[0]:
        return "failed"
    return "verify found something" if any(row.get("clean") is False for row in rows) else None


if __name__ == "__main__":
    main()

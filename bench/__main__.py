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
from bench.report import write
from bench.rig import ROOT, Rig
from bench.stages import stages
from bench.watching import reloads, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


LIMIT = 600
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
        "stages": stages,
        "throughput": lambda: measures.throughput(rig, updates),
        "rates": lambda: measures.rates(rig, seconds),
        "intervals": lambda: measures.intervals(rig, seconds),
        "growth": lambda: measures.growth(rig, updates),
        "variants": lambda: measures.variants(rig, updates),
        "start_and_stop": lambda: measures.start_and_stop(rig),
        "recovery": lambda: measures.recovery(rig),
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
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "report")
    parser.add_argument("--short", action="store_true", help=f"the same as --scale {SHORT}")
    options = parser.parse_args()
    if options.short:
        options.scale = SHORT
    file = options.out / "report.json"
    if options.scale < 0.5:
        measures.ROUNDS = 1
    report: dict[str, Any] = json.loads(file.read_text()) if options.only and file.exists() else {"sections": {}}
    with Rig() as rig:
        for name, measure in sections(rig, options.scale).items():
            if options.only and name not in options.only:
                continue
            load, began = os.getloadavg()[0], time.time()
            print(f"{name} …", flush=True)
            rows = attempt(measure)
            taken = {"load_before": load, "scale": options.scale, "seconds": time.time() - began}
            report["sections"][name] = {**taken, "rows": rows}
            report["machine"] = {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "kernel": platform.release(),
                "date": time.strftime("%Y-%m-%d", time.gmtime()),
            }
            options.out.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(report, indent=1) + "\n")
            for row in rows:
                print(name, json.dumps(row), flush=True)
    write(report, options.out)
    failed = [name for name, one in report["sections"].items() if "failed" in one["rows"][0]]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

"""`python -m bench`: measure everything and write a report with plots. `--quick` takes a tenth of the time."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import measures
from bench.report import write
from bench.rig import ROOT, Rig
from bench.stages import stages

if TYPE_CHECKING:
    from collections.abc import Callable


def sections(rig: Rig, scale: float) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    """What is measured, by the name of its section."""
    updates = int(400_000 * scale)
    seconds = max(2.0, 15 * scale)
    return {
        "stages": stages,
        "throughput": lambda: measures.throughput(rig, updates),
        "rates": lambda: measures.rates(rig, seconds),
        "intervals": lambda: measures.intervals(rig, seconds),
        "growth": lambda: measures.growth(rig, updates),
        "variants": lambda: measures.variants(rig, updates),
        "start_and_stop": lambda: measures.start_and_stop(rig),
        "recovery": lambda: measures.recovery(rig),
        "imports": measures.imports,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="how much of the full length each run has")
    parser.add_argument("--only", nargs="*", help="sections to measure; the others are kept as they were")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "report")
    options = parser.parse_args()
    file = options.out / "report.json"
    if options.scale < 0.5:
        measures.ROUNDS = 1
    report: dict[str, Any] = json.loads(file.read_text()) if options.only and file.exists() else {"sections": {}}
    with Rig() as rig:
        for name, measure in sections(rig, options.scale).items():
            if options.only and name not in options.only:
                continue
            load, began = os.getloadavg()[0], time.time()
            rows = measure()
            report["sections"][name] = {"load_before": load, "seconds": time.time() - began, "rows": rows}
            report["machine"] = {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "kernel": platform.release(),
                "date": time.strftime("%Y-%m-%d", time.gmtime()),
                "scale": options.scale,
            }
            options.out.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(report, indent=1) + "\n")
            for row in rows:
                print(name, json.dumps(row), flush=True)
    write(report, options.out)


if __name__ == "__main__":
    main()

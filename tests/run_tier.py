"""Run tiers of tests one after another: `run_tier.py all`, or the names of tiers; `--list` prints the names.

Runs on any Python, with the standard library only, since the first tier makes the virtual environment. Every tier
prints its minutes, its budget and its counts; the last line is their sum. With CI=true a skip, an xfail, or a tier
that ran nothing is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
RUNNING = ROOT / ".venv" / "running-tier"
CI = os.environ.get("CI") == "true"
CI_DISK_GB = 12


@dataclass(frozen=True)
class Tier:
    """What a tier runs, in order: commands, which count as one test each, then pytest over the patterns."""

    budget: float
    """Minutes."""
    commands: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()


CONSUME = (
    "python", "begin", "replay", "partitions", "kcat", "evolution", "asyncapi", "readmes", "engines", "watermarks",
)  # fmt: skip
"""In this order: the engines start with `begin`, and only what comes before has the machine for itself."""

TIERS = {
    "test-unit": Tier(
        4,
        (
            "ruff check .",
            "ruff format --check .",
            "mypy",
            "python tests/fuzz_decode.py --runs 20000 --seed 1",
            "make audit",
        ),
        ("tests/unit", "tests/test_*.py"),
    ),
    "test-sim": Tier(4, ("python -m tests.sim --seeds 10000 --minutes 3.3 --jobs 2",), ()),
    "test-accept": Tier(7, (), ("tests/integration", "tests/acceptance")),
    "test-faults": Tier(14, (), ("tests/faults",)),
    "test-operate": Tier(6, (), ("tests/operate",)),
    "test-chart": Tier(5, (), ("tests/chart",)),
    "test-cluster": Tier(5, (), ("tests/cluster",)),
    "test-consume": Tier(8, (), tuple(f"tests/consume/test_{one}.py" for one in CONSUME)),
    "bench-quick": Tier(3, ("python -m bench.quick", "python -m bench.instructions"), ()),
}


@dataclass
class Counts:
    """Results of tests."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: Counts) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self) -> str:
        skipped = f"{self.skipped} skipped"
        if self.skipped and sys.stdout.isatty():
            skipped = f"\033[1;31m{skipped}\033[0m"
        return f"{self.passed} passed, {self.failed} failed, {skipped}"

    @property
    def bad(self) -> bool:
        return bool(self.failed or (CI and self.skipped) or not (self.passed or self.skipped))


def main(arguments: list[str]) -> int:
    if arguments == ["--list"]:
        print(*TIERS)
        return 0
    whole = arguments == ["all"]
    began = time.monotonic()
    total, bad = Counts(), False
    if whole and not dependencies():
        print(Counts(failed=1))
        return 1
    for name in TIERS if whole else arguments:
        counts = run(name, TIERS[name])
        total.add(counts)
        bad = bad or counts.bad
    if whole:
        print(f"\n=== {' '.join(['deps', *TIERS])}: {(time.monotonic() - began) / 60:.1f} min", flush=True)
        print(total, flush=True)
    return 1 if bad else 0


def dependencies() -> bool:
    """Make what the tiers need, alone, before any of them runs."""
    began = announce("deps", 15)
    free = shutil.disk_usage(ROOT).free / 1e9
    if CI and free < CI_DISK_GB:
        print(f"deps: {free:.0f} GB of free disk, {CI_DISK_GB} GB are needed: delete something", flush=True)
        return False
    good = subprocess.run(["make", "--no-print-directory", "deps"], cwd=ROOT, check=False).returncode == 0
    close("deps", began, 15)
    return good


def run(name: str, tier: Tier) -> Counts:
    """Run one tier and print its results."""
    began = announce(name, tier.budget)
    counts = Counts()
    for command in tier.commands:
        counts.add(run_command(command))
    if tier.tests:
        counts.add(run_pytest(tier.tests))
    close(name, began, tier.budget)
    if CI and counts.skipped:
        print(f"{name}: with CI=true a skip is a failure", flush=True)
    print(counts, flush=True)
    return counts


def announce(name: str, budget: float) -> float:
    print(f"\n=== {name} (budget {budget:g} min)", flush=True)
    RUNNING.parent.mkdir(exist_ok=True)
    RUNNING.write_text(name)
    return time.monotonic()


def close(name: str, began: float, budget: float) -> None:
    minutes = (time.monotonic() - began) / 60
    over = ": OVER ITS BUDGET" if minutes > budget else ""
    print(f"--- {name}: {minutes:.1f} min of {budget:g}{over}", flush=True)
    RUNNING.unlink()


def run_command(command: str) -> Counts:
    """One command as one test: of the virtual environment, or `make`."""
    print(f"$ {command}", flush=True)
    program, *arguments = command.split()
    found = BIN / program if (BIN / program).exists() else program
    good = subprocess.run([found, *arguments], cwd=ROOT, check=False).returncode == 0
    return Counts(passed=int(good), failed=int(not good))


def run_pytest(patterns: tuple[str, ...]) -> Counts:
    """Pytest over the files and folders that match; no test at all is a failure."""
    paths = [str(path) for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    if not paths:
        print(f"no tests match {' '.join(patterns)}", flush=True)
        return Counts(failed=1)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [BIN / "pytest", "-q", f"--junitxml={report}", *paths]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        counts = counts_of(report) if report.exists() else Counts()
    if code and not counts.failed:
        # Nothing collected, wrong usage or an interrupt: no test failed, and yet it is no success.
        print(f"pytest ended with {code}", flush=True)
        counts.failed = 1
    return counts


def counts_of(report: Path) -> Counts:
    """Sum up a JUnit report; an xfail counts as skipped there."""
    counts = Counts()
    for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314  (written by our own pytest)
        number = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
        failed = number["failures"] + number["errors"]
        passed = max(0, number["tests"] - failed - number["skipped"])
        counts.add(Counts(passed, failed, number["skipped"]))
    return counts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

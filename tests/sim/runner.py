"""Many seeds, on several processes, within a time; a failing one is named with how to replay it."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path

from .controls import CONTROLS
from .scenario import Scenario

CHUNK = 20
"""Seeds that a process takes at a time."""
FLOOR = 5000
"""With CI=true fewer seeds are a failure."""
SHOWN = 20


def play(seed: int, control: str = "none", *, verify: bool = True) -> list[str]:
    """What is wrong with one seed; empty if nothing is."""
    try:
        findings = Scenario(seed, control=control, verify=verify).run()
    except Exception as error:  # noqa: BLE001 - one seed must not end the others
        return [f"crash: {error!r}"]
    # That two transactions were made of one is what a control does, not yet what it does wrong.
    broken = [one for one in findings if control == "none" or one.kind != "torn"]
    return [f"{one.kind}: {one.text}" for one in broken]


def history(seed: int, control: str = "none", *, verify: bool = True) -> str:
    """Everything that happened, line by line, and what is wrong with it."""
    scenario = Scenario(seed, control=control, trace=True, verify=verify)
    findings = scenario.run()
    assert scenario.world.lines is not None
    return "\n".join([*scenario.world.lines, *(f"{one.kind}: {one.text}" for one in findings)])


def digest(seed: int) -> str:
    """The history of a seed as one short text."""
    return hashlib.sha256(history(seed).encode()).hexdigest()[:16]


def _chunk(first: int, count: int, control: str, verify: bool) -> list[tuple[int, list[str]]]:
    results = [(seed, play(seed, control, verify=verify)) for seed in range(first, first + count)]
    return [(seed, findings) for seed, findings in results if findings]


class Tally:
    """Seeds done so far, kept in a file if one is named, so that a long run may be ended and continued."""

    def __init__(self, path: Path | None, start: int) -> None:
        self.path = path
        self.start = start
        self.next = start
        self.failed: dict[int, list[str]] = {}
        if path is not None and path.exists():
            known = json.loads(path.read_text())
            self.start, self.next = known["start"], known["next"]
            self.failed = {int(seed): findings for seed, findings in known["failed"].items()}

    @property
    def done(self) -> int:
        """Seeds of this and earlier runs."""
        return self.next - self.start

    def save(self) -> None:
        """Everything below ``next`` is done."""
        if self.path is not None:
            state = {"start": self.start, "next": self.next, "failed": self.failed}
            self.path.write_text(json.dumps(state, indent=1))


def campaign(options: argparse.Namespace, tally: Tally) -> None:
    """Run seeds until there are enough, the time is over, or a control has failed."""
    deadline = time.monotonic() + options.minutes * 60
    last = tally.start + options.seeds
    given, finished, pending = tally.next, set(), {}
    with ProcessPoolExecutor(options.jobs) as pool:
        while True:
            while given < last and len(pending) < options.jobs * 2 and time.monotonic() < deadline:
                count = min(CHUNK, last - given)
                future = pool.submit(_chunk, given, count, options.control, not options.no_verification)
                pending[future] = given, count
                given += count
            if not pending:
                break
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                finished.add(pending.pop(future))
                _report(future.result(), tally, options)
            while any(first == tally.next for first, _ in finished):
                chunk = next(chunk for chunk in finished if chunk[0] == tally.next)
                finished.remove(chunk)
                tally.next += chunk[1]
            tally.save()
            if options.control != "none" and tally.failed:
                given = last


def _report(failures: list[tuple[int, list[str]]], tally: Tally, options: argparse.Namespace) -> None:
    for seed, findings in failures:
        tally.failed[seed] = findings[:SHOWN]
        if len(tally.failed) <= SHOWN:
            extra = f" --control {options.control}" if options.control != "none" else ""
            print(f"seed {seed}: {findings[0]} (and {len(findings) - 1} more)")
            print(f"  replay: python -m tests.sim --seed {seed}{extra} --trace", flush=True)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20000, help="how many")
    parser.add_argument("--minutes", type=float, default=3.0, help="no new seeds after them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--control", choices=sorted(CONTROLS), default="none", help="a build that has to fail")
    parser.add_argument("--no-verification", action="store_true", help="brokers without KIP-890 part 1")
    parser.add_argument("--results", type=Path, help="file to continue from")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print its history")
    return parser.parse_args(arguments)


def _single(options: argparse.Namespace) -> int:
    verify = not options.no_verification
    if options.trace:
        print(history(options.seed, options.control, verify=verify))
    findings = play(options.seed, options.control, verify=verify)
    print(*findings, sep="\n")
    print(f"{int(not findings)} passed, {int(bool(findings))} failed, 0 skipped")
    return int(bool(findings))


def main(arguments: list[str]) -> int:
    """The command. A control passes when it fails."""
    options = _parse(arguments)
    if options.seed is not None:
        return _single(options)
    tally = Tally(options.results, options.start)
    before, began = tally.done, time.monotonic()
    campaign(options, tally)
    seconds = time.monotonic() - began
    pace = (tally.done - before) / seconds * 60
    print(f"{tally.done} seeds from {tally.start} in {seconds:.0f} s: {pace:.0f} seeds/min on {options.jobs} processes")
    return _verdict(options, tally)


def _verdict(options: argparse.Namespace, tally: Tally) -> int:
    if options.control != "none":
        found = min(tally.failed, default=None)
        print(f"control {options.control}: " + ("not found" if found is None else f"found at seed {found}"))
        print(f"{int(found is not None)} passed, {int(found is None)} failed, 0 skipped")
        return int(found is None)
    failed = len(tally.failed)
    short = os.environ.get("CI") == "true" and tally.done < min(FLOOR, options.seeds)
    if short:
        print(f"only {tally.done} seeds; {FLOOR} are the least")
    print(f"{tally.done - failed} passed, {failed + short} failed, 0 skipped")
    return int(bool(failed or short))

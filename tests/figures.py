"""What tests measured, told at the end of the run: pytest shows nothing that a passed test prints."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

RESULTS = ("passed", "failed", "error", "skipped")
_measured: list[str] = []


def tell(text: str) -> None:
    """One line, in the order of the tests."""
    _measured.append(text)


def take() -> list[str]:
    """Every line so far, once."""
    found, _measured[:] = list(_measured), []
    return found


def checks(outcomes: dict[str, list[str]]) -> list[str]:
    """One line for each check of the chart: tests carry them in their names. ``outcomes``: node ids by result."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for result, names in outcomes.items():
        for name in names:
            found = re.match(r"tests/(?:chart|cluster)/\w+\.py::test((?:_\d\d)+)_", name)
            for number in found[1].split("_")[1:] if found else ():
                counts[int(number)][result] += 1
    return [
        f"check {number}: {', '.join(f'{counts[number][result]} {result}' for result in RESULTS)}"
        for number in sorted(counts)
    ]

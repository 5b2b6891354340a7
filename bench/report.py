"""The report: Markdown tables of every section, and two plots if matplotlib is installed."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

TITLES = {
    "stages": "CPU per stage",
    "throughput": "As fast as it goes",
    "rates": "Latency at steady rates: frame made to visible for a read_committed reader",
    "intervals": "Latency against the interval between transactions, 1,000 updates/s",
    "growth": "Growth with the number of series",
    "variants": "Settings",
    "start_and_stop": "Start, memory, CPU at 200 updates/s, stop",
    "recovery": "Recovery: fence and read back, by rows in offsets",
    "watching": "Watched (metrics each second, one open status page) against unwatched",
    "reloads": "A changed configuration: file written to difference applied",
    "commits": "One transaction over 12 partitions by a bare producer, by the pause since the one before",
    "emulation": "The emulator, to one connection",
    "imports": "Slowest imports of run",
}


INTRODUCTION = """\
`make bench`, {date}: {cores} cores that broker, source, connector and reader share, Python {python}, Linux {kernel}.
Programs that are compared ran in turn in one run; figures are medians. "Length" is that of each run, 1 being the full
one. `clean` is what `verify` said of the topics. CPU time includes librdkafka's threads. "Load before" is the machine's
load average when the section began: above 1, compare figures of one section with each other only.
"""


def write(report: dict[str, Any], folder: Path) -> None:
    """Write README.md beside the JSON."""
    machine = report["machine"]
    lines = ["# Benchmark", "", *INTRODUCTION.format(**machine).splitlines()]
    for name, section in report["sections"].items():
        lines += [
            "",
            f"## {TITLES[name]}",
            "",
            f"Load before: {section['load_before']:.1f}; length: {section['scale']:g}",
            "",
            *table(section["rows"]),
        ]
    plots = draw(report["sections"], folder)
    lines += ["", *(f"![{name}]({name}.svg)" for name in plots)]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows as Markdown, with the columns of all of them."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return text + [f"| {' | '.join(cell(row.get(name)) for name in columns)} |" for row in rows]


def cell(value: Any) -> str:
    """A figure with three digits that count."""
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def draw(sections: dict[str, Any], folder: Path) -> list[str]:
    """The names of the plots that were drawn."""
    if importlib.util.find_spec("matplotlib") is None or "intervals" not in sections:
        return []
    if "failed" in sections["intervals"]["rows"][0]:
        return []
    import matplotlib as mpl  # noqa: PLC0415 - only the report needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "bench"
    from matplotlib import pyplot as plt  # noqa: PLC0415

    rows = sections["intervals"]["rows"]
    figure, left = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for name, mark in (("p50_ms", "o-"), ("p99_ms", "s-")):
        left.plot([row["transactions_per_second"] for row in rows], [row[name] for row in rows], mark, label=name[:3])
    left.set(xlabel="transactions per second", ylabel="latency, ms", xscale="log", yscale="log")
    right = left.twinx()
    right.plot([row["transactions_per_second"] for row in rows], [row["cores"] for row in rows], "x:", color="gray")
    right.set(ylabel="cores (dotted)", ylim=(0, None))
    left.legend()
    figure.savefig(folder / "intervals.svg", metadata={"Date": None})
    return ["intervals"]

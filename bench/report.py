"""The report: Markdown tables of every section, and plots if matplotlib is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.plots import draw

if TYPE_CHECKING:
    from pathlib import Path

TITLES = {
    "stages": "Cost per stage",
    "throughput": "As fast as it goes",
    "rates": "Latency at steady rates: frame made to visible for a read_committed reader",
    "intervals": "Latency against the interval between transactions, 1,000 updates/s",
    "growth": "Growth with the number of series",
    "departments": "Growth with departments",
    "shards": "Growth with shards, one process",
    "sessions": "Growth with sessions: as many accounts at once, a process each",
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
`make bench`: {cores} cores that broker, source, connector and reader share, Python {python}, Linux {kernel}.
Programs that are compared ran in turn in one run. "Length" is that of each run, 1 being the full one; from 0.25 on
figures are medians of three runs, below they are of one. `clean` is what `verify` said of the topics. CPU time includes
librdkafka's threads. "Load before" is the machine's load average when the section began: above 1, compare figures of
one section with each other only.
"""


def write(report: dict[str, Any], folder: Path) -> None:
    """Write README.md beside the JSON."""
    machine = report["machine"]
    lines = ["# Benchmark", "", *INTRODUCTION.format(**machine).splitlines()]
    sections = {name: report["sections"][name] for name in TITLES if name in report["sections"]}
    for name, section in sections.items():
        lines += [
            "",
            f"## {TITLES[name]}",
            "",
            f"Load before: {section['load_before']:.1f}; length: {section['scale']:g}{_when(section)}",
            "",
            *table(section["rows"]),
        ]
        lines += [line for plot in draw(name, section["rows"], folder) for line in ("", f"![{plot}]({plot}.svg)")]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def _when(section: dict[str, Any]) -> str:
    date = f"; {section['date']}" if "date" in section else ""
    return f"{date}; took {section['seconds']:.0f} s" if "seconds" in section else date


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

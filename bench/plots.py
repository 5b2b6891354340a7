"""The plots of the report; none without matplotlib."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rows = list[dict[str, Any]]


def draw(section: str, rows: Rows, folder: Path) -> list[str]:
    """Draw what there is to draw of a section; the names of the files, without their ending."""
    paint = PAINTERS.get(section)
    if paint is None or "failed" in rows[0] or importlib.util.find_spec("matplotlib") is None:
        return []
    import matplotlib as mpl  # noqa: PLC0415 - only the report needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "bench"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only the report needs it

    figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
    paint(axes, rows)
    figure.savefig(folder / f"{section}.svg", metadata={"Date": None})
    plt.close(figure)
    return [section]


def _intervals(left: Any, rows: Rows) -> None:
    for name, mark in (("p50_ms", "o-"), ("p99_ms", "s-")):
        left.plot([row["transactions_per_second"] for row in rows], [row[name] for row in rows], mark, label=name[:3])
    left.set(xlabel="transactions per second", ylabel="latency, ms", xscale="log", yscale="log")
    right = left.twinx()
    right.plot([row["transactions_per_second"] for row in rows], [row["cores"] for row in rows], "x:", color="gray")
    right.set(ylabel="cores (dotted)", ylim=(0, None))
    left.legend()


def _rates(axes: Any, rows: Rows) -> None:
    for program in dict.fromkeys(row["program"] for row in rows):
        own = [row for row in rows if row["program"] == program]
        (line,) = axes.plot([row["asked"] for row in own], [row["p50_ms"] for row in own], "o-", label=program)
        axes.plot([row["asked"] for row in own], [row["p99_ms"] for row in own], "s:", color=line.get_color())
    axes.set(xlabel="updates per second", ylabel="p50, dotted p99, ms", xscale="log", yscale="log")
    axes.legend(fontsize="x-small")


def _bars(name: str, figure: str, label: str) -> Callable[[Any, Rows], None]:
    def paint(axes: Any, rows: Rows) -> None:
        axes.barh([str(row[name]) for row in rows], [row[figure] for row in rows])
        axes.invert_yaxis()
        axes.set(xlabel=label)
        axes.tick_params(axis="y", labelsize="x-small")

    return paint


def _line(name: str, figure: str, label: str) -> Callable[[Any, Rows], None]:
    def paint(axes: Any, rows: Rows) -> None:
        axes.plot([row[name] for row in rows], [row[figure] for row in rows], "o-")
        axes.set(xlabel=name, ylabel=label, xscale="log", ylim=(0, None))

    return paint


PAINTERS: dict[str, Callable[[Any, Rows], None]] = {
    "stages": _bars("stage", "us_per_update", "CPU, µs per update"),
    "throughput": _bars("program", "updates_per_second", "updates per second (Java: records)"),
    "rates": _rates,
    "intervals": _intervals,
    "growth": _line("series", "cpu_us_per_update", "CPU, µs per update"),
    "recovery": _line("series", "seconds", "seconds"),
    "variants": _bars("program", "cpu_us_per_update", "CPU, µs per update"),
}

"""What the demo shows: a live table in a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from typing import Self, TextIO

    from connector.demo.reader import Row, Seen

_EVERY_TABLE: Final = 0.25
_EVERY_LINE: Final = 1.0
_AROUND: Final = 9
"""Lines of the screen that are not rows."""


class Screen:
    """Shows the same facts either way. As a context manager it gives the terminal back.

    Args:
        head: what runs here and what it does not show, one text per line.
        partitions: of the heartbeats.
    """

    def __init__(self, out: TextIO, head: list[tuple[str, str]], partitions: int) -> None:
        live = out.isatty()
        width = {} if live else {"width": 240, "color_system": None, "highlight": False}
        self._console = Console(file=out, **width)  # type: ignore[arg-type]
        self._live = Live(console=self._console, auto_refresh=False) if live else None
        self._head = head
        self._partitions = partitions
        self._began = time.monotonic()
        self._due = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        else:
            for label, text in self._head:
                self.line(f"{label}: {text}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def line(self, text: str) -> None:
        """One line that stays."""
        self._console.print(Text(text), soft_wrap=True)

    def show(self, seen: Seen) -> None:
        """The state of things, if it is time again."""
        now = time.monotonic()
        if now < self._due:
            return
        if self._live is not None:
            self._due = now + _EVERY_TABLE
            self._live.update(self._picture(seen, now), refresh=True)
        else:
            self._due = now + _EVERY_LINE
            self.line(f"{self._status(seen, now)}{_newest(seen)}")

    def _picture(self, seen: Seen, now: float) -> Group:
        head = [Text.assemble((f"{label:<8}", "bold"), text) for label, text in self._head]
        room = max(3, self._console.size.height - _AROUND - _folded(self._head, self._console.size.width))
        return Group(*head, Text(self._status(seen, now), style="cyan"), self._table(seen, now, room))

    def _table(self, seen: Seen, now: float, room: int) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("SERIES", no_wrap=True, overflow="ellipsis")
        for name in ("DEPARTMENT", "VALUE", "SEQUENCE", "AGE", "RECORDS/S"):
            table.add_column(name, justify="right", no_wrap=True)
        rows = sorted(seen.rows.items(), key=_order)
        for series, row in rows[:room]:
            age = max(0.0, time.time() - row.received)
            cells = (row.department, row.value, str(row.sequence), f"{age:.1f} s", f"{row.pace.per_second(now):.1f}")
            table.add_row(_metric(series), *cells, style="green" if age < 1 else "")
        if len(rows) > room:
            table.add_row(f"… and {len(rows) - room} more series", style="dim")
        return table

    def _status(self, seen: Seen, now: float) -> str:
        through = seen.complete_through(self._partitions)
        beat = "none yet" if through is None else f"{max(0.0, time.time() - through):.1f} s ago"
        return (
            f"{now - self._began:5.1f} s   {seen.consumed} records   {seen.pace.per_second(now):.0f} records/s   "
            f"{len(seen.rows)} series   complete as of {beat}   {len(seen.gaps)} gaps   "
            f"{seen.dead_letters} dead letters"
        )


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The summary for people."""
    verdict = "every update sent is in Kafka exactly once" if summary["ok"] else "NOT every update is in Kafka once"
    sums = f"{summary['sent']} sent, {summary['consumed']} consumed in {summary['series']} series"
    faults = f"{summary['lost']} lost, {summary['duplicated']} duplicated, {summary['gaps']} gaps"
    time_of = f"{summary['seconds']:.1f} s of updates, first row {summary['first_row_seconds']:.1f} s after the start"
    return [f"{sums}: {faults}; {verdict}.", f"Broker: {summary['broker']}. {time_of}."]


def _newest(seen: Seen) -> str:
    if not seen.rows:
        return ""
    series, row = max(seen.rows.items(), key=lambda item: item[1].received)
    age = f"{max(0.0, time.time() - row.received):.1f} s old"
    return f"   newest: {_metric(series)} department {row.department} = {row.value}, sequence {row.sequence}, {age}"


def _order(item: tuple[str, Row]) -> tuple[bool, int, str]:
    department = item[1].department
    return department != "all", int(department) if department.isdecimal() else 0, item[0]


def _metric(series: str) -> str:
    metric, window, _ = series.split("|")
    return f"{metric} {window} min" if window else metric


def _folded(head: list[tuple[str, str]], width: int) -> int:
    return sum(-(-(len(text) + 8) // max(1, width)) for _, text in head)

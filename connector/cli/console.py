"""What commands print: colour in a terminal, plain text in a pipe, JSON for machines."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connector.config.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDE: Final = 240
"""Columns of a table in a pipe, where nobody needs it narrower."""

STYLES: Final = {
    "pass": "green",
    "warn": "yellow",
    "fail": "red",
    "created": "green",
    "registered": "green",
    "to create": "yellow",
    "to register": "yellow",
    "differs": "red",
    "refused": "red",
}


def printable(value: Any) -> str:
    """Text from elsewhere without what would steer a terminal."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in str(value))


def console() -> Console:
    """Standard output, as wide as it should be."""
    return Console() if sys.stdout.isatty() else Console(width=_WIDE, color_system=None, highlight=False)


def errors() -> Console:
    """Standard error, for progress and mistakes."""
    return Console(stderr=True)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; cells that name a state are coloured."""
    out = console()
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), style=STYLES.get(str(cell), "")) for cell in row))
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def print_line(text: str, style: str = "") -> None:
    """One line of text."""
    console().print(Text(printable(text), style=style), soft_wrap=True)


def print_error(text: str) -> None:
    """``error: …`` on standard error."""
    line = Text("error: ", style="bold red").append(printable(redact(text)), style="default")
    errors().print(line, soft_wrap=True)

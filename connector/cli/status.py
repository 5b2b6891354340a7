"""``status``: what a running connector says of itself, in the terminal."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from connector.cli.console import console, printable
from connector.config import read_secret
from connector.config.urls import is_loopback
from connector.errors import ConfigError, LocalError

if TYPE_CHECKING:
    from rich.console import Group

TIMEOUT: Final = 10.0
LARGEST: Final = 64 * 2**20
"""Bytes of the longest answer that is read."""

COLOURS: Final = {"ok": "green", "degraded": "yellow", "down": "red", "standby": "blue"}
SERIES_SHOWN: Final = 20


def status(
    *,
    url: Annotated[str, typer.Option(help="Address of the running connector.")] = "http://127.0.0.1:8090",
    token_file: Annotated[Path | None, typer.Option(help="File with its token (its http.token_file).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second until ctrl-C.")] = False,
    series: Annotated[bool, typer.Option("--series", help="Every series, not only the latest.")] = False,
) -> None:
    """Show the state of a running connector: role, session, commits, gaps, series.

    Exit codes: 0 it answered, 2 the options cannot be used, 6 nothing answers there.
    """
    token = read_secret(token_file, "--token-file") if token_file is not None else None
    endpoint = _endpoint(url, token)
    if as_json:
        typer.echo(_ask(endpoint, token).decode())
    elif watch:
        _watch(endpoint, token, every=series)
    else:
        console().print(_page(json.loads(_ask(endpoint, token)), every=series))


def _watch(endpoint: str, token: str | None, *, every: bool) -> None:
    from rich.live import Live

    try:
        with Live(screen=True, auto_refresh=False) as live:
            while True:
                live.update(_page(json.loads(_ask(endpoint, token)), every=every), refresh=True)
                time.sleep(1.0)
    except KeyboardInterrupt:
        return


# Asking.


def _endpoint(url: str, token: str | None) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ConfigError("--url: write it as http://host:port, without credentials")
    if token is not None and parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigError("--url: would send the token in clear; use https://, or a tunnel to this machine")
    return f"{url.rstrip('/')}/api/status"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token is meant for one host."""

    def redirect_request(self, *_: Any) -> None:
        """None ends with the redirect as an error."""


def _ask(endpoint: str, token: str | None) -> bytes:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(endpoint, headers=headers)  # noqa: S310 - the scheme is checked
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            return bytes(answer.read(LARGEST))
    except urllib.error.HTTPError as error:
        error.close()
        remedy = "give its token with --token-file" if error.code == 401 else "check --url"
        raise LocalError(f"{endpoint}: HTTP {error.code}; {remedy}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise LocalError(f"{endpoint}: {reason}; is the connector running, with http.enabled?") from None


# Showing.


def _page(report: dict[str, Any], *, every: bool) -> Group:
    from rich.console import Group
    from rich.text import Text

    level = report["level"]
    head = Text.assemble(
        (level.upper(), f"bold {COLOURS.get(level, '')}"),
        f"  {printable(report['message'])}\n",
        f"{report['account']}: {report['role']} {printable(report['instance'])}, version {report['version']}\n",
        f"guarantee {report['guarantee']['configured']}: {report['guarantee']['text']} {report['guarantee']['why']}",
    )
    return Group(head, Text(), _figures(report), Text(), _series(report, every=every), *_incidents(report))


def _figures(report: dict[str, Any]) -> Any:
    from rich.table import Table

    now = report["generated_ms"]
    session, batches, buffer = report["session"], report["batches"], report["buffer"]
    through = [one["complete_through_ms"] for one in report["shards"] if one["complete_through_ms"] is not None]
    rows = {
        "session": _session(session, now),
        "updates": f"{batches['updates_per_second']:.0f}/s, {batches['updates']:,} committed",
        "commit": _spread(batches["commit_ms"]),
        "received to committed": _spread(batches["latency_ms"]),
        "complete through": f"{_ago(min(through), now)} ago" if through else "-",
        "buffer": f"{buffer['waiting']:,} waiting, {buffer['dropped']:,} dropped",
        "gaps": f"{report['gaps']['open']:,} open, {report['gaps']['total']:,} in all",
        "dead letters": _letters(report["dead_letters"]),
        "connect budget": _budget(report["budget"]),
        "shards": ", ".join(f"{one['shard']} (batch {one['batch_id']:,})" for one in report["shards"]) or "none",
        "replicas": ", ".join(_member(one) for one in report["members"]["known"]) or "not known",
    }
    table = Table.grid(padding=(0, 2))
    for name, text in rows.items():
        table.add_row(name, _text(text))
    return table


def _session(session: dict[str, Any], now: int) -> str:
    since = _ago(session["since_ms"], now)
    if not session["connected"]:
        return f"none for {since}: {session['reason']}: {session['message']}"
    rtt = session["rtt_ms"]
    return f"open for {since}, ping {'-' if rtt is None else f'{rtt:.1f} ms'}, {session['opened']} opened"


def _spread(spread: dict[str, float] | None) -> str:
    return (
        "-" if spread is None else f"p50 {spread['p50']:.1f} ms, p99 {spread['p99']:.1f} ms, max {spread['max']:.1f} ms"
    )


def _letters(letters: dict[str, Any]) -> str:
    reasons = ", ".join(f"{reason} {times}" for reason, times in letters["by_reason"].items())
    return f"{letters['total']:,}{f': {reasons}' if reasons else ''}"


def _budget(budget: dict[str, int] | None) -> str:
    return "-" if budget is None else f"{budget['used']} of {budget['limit']} a minute"


def _member(member: dict[str, Any]) -> str:
    shards = " ".join(map(str, member["shards"])) or "standby"
    return f"{member['name']} ({shards})"


def _series(report: dict[str, Any], *, every: bool) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("metric", "window", "department"):
        table.add_column(title)
    for title in ("value", "sequence", "epoch", "age"):
        table.add_column(title, justify="right")
    table.add_column("gap")
    found = sorted(report["series"], key=lambda one: one["name"] if every else -(one["received_ms"] or 0))
    for one in found if every else found[:SERIES_SHOWN]:
        table.add_row(*map(_text, _cells(one, report["generated_ms"])))
    if len(found) > table.row_count:
        table.caption = f"the latest {table.row_count} of {len(found):,}; all with --series"
        table.caption_justify = "left"
    return table


def _cells(one: dict[str, Any], now: int) -> tuple[str, ...]:
    department = one["department"] or one["department_id"] or "all"
    value = "-" if one["sequence"] == 0 else "null" if one["value"] is None else f"{one['value']:g}"
    age = "-" if one["received_ms"] is None else _ago(one["received_ms"], now)
    window = "" if one["window"] is None else f"{one['window']} min"
    sequence, epoch = f"{one['sequence']:,}", str(one["epoch"])
    return one["metric"], window, str(department), value, sequence, epoch, age, one["gap"] or ""


def _incidents(report: dict[str, Any]) -> list[Any]:
    from rich.text import Text

    now = report["generated_ms"]
    lines = [Text(), Text("gaps", style="dim")] if report["gaps"]["incidents"] else []
    for one in report["gaps"]["incidents"][:5]:
        state = f"{one['open']:,} open" if one["open"] else f"ended, longest {one['longest_ms'] / 1000:.1f} s"
        began = _ago(one["started_ms"], now)
        lines.append(_text(f"{began} ago  {one['reason']}  {one['series']:,} series  {state}"))
    return lines


def _ago(then_ms: int, now_ms: int) -> str:
    seconds = max(0, now_ms - then_ms) // 1000
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours = seconds // 60, seconds // 3600
    return f"{minutes} m {seconds % 60} s" if minutes < 60 else f"{hours} h {minutes % 60} m"


def _text(text: str) -> Any:
    from rich.text import Text

    return Text(printable(text))

"""``verify``: the audit of what stands in Kafka."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from connector.cli.config import ConfigFile, config_path
from connector.errors import ConfigError, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connector.verify.audit import Audit
    from connector.verify.exposition import Exposition
    from connector.verify.findings import Finding

FOUND: Final = 10
"""Exit code: something is wrong, or the event_id of --explain is not there."""

_AGE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def verify(
    *,
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; with --watch one a line.")] = False,
    watch: Annotated[bool, typer.Option(help="Go on comparing what is new until stopped.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two comparisons with --watch.")] = 5.0,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Loopback port for Prometheus with --watch; 0 = none.")
    ] = 9464,
    since: Annotated[
        str | None, typer.Option(help="Begin at a time (2026-01-31T12:00Z) or so long ago (90s, 15m, 1h, 7d).")
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="EVENT_ID", help="Show where one update is and what is around it.")
    ] = None,
) -> None:
    """Audit the topics: nothing lost, doubled or out of order, every gap declared.

    Exit code 0: clean. 10: at least one finding, or no record for --explain. Others: see --help of the program.
    """
    from connector.config import load

    if explain is not None and watch:
        raise ConfigError("--explain and --watch exclude each other; leave one out")
    since_ms = None if since is None else parse_since(since, time.time())
    config = load(config_path(config_file), os.environ)
    with _audit(config, since_ms) as audit:
        if explain is not None:
            clean = _explain(audit, explain, as_json=as_json)
        elif watch:
            clean = _watch(audit, interval, port, as_json=as_json)
        else:
            clean = _once(audit, as_json=as_json)
    if not clean:
        raise typer.Exit(FOUND)


def parse_since(text: str, now: float) -> int:
    """Milliseconds since the epoch, from an ISO 8601 time (UTC unless it says otherwise) or an age.

    Raises:
        ConfigError: it is neither.
    """
    age = _AGE.fullmatch(text)
    if age is not None:
        return int((now - float(age[1]) * _SECONDS[age[2]]) * 1000)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--since {text}: no time; write 2026-01-31T12:00Z, or 90s, 15m, 1h, 7d for an age") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


@contextlib.contextmanager
def _audit(config: Any, since_ms: int | None) -> Iterator[Audit]:
    from connector.verify.audit import Audit

    audit = Audit(config, since_ms=since_ms)
    try:
        yield audit
    finally:
        audit.close()


# One time.


def _once(audit: Audit, *, as_json: bool) -> bool:
    with _progress() as progress:
        audit.start(progress)
    result = audit.result()
    if as_json:
        from connector.cli.console import print_json

        print_json(result, indent=2)
    else:
        _print_result(result)
    return bool(result["clean"])


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error, in a terminal."""
    from rich.progress import Progress

    from connector.cli.console import errors

    console = errors()
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_result(result: dict[str, Any]) -> None:
    from connector.cli.console import print_line, print_table

    for line in _summary(result):
        print_line(line)
    if result["details"]:
        print_line("")
        columns = ("kind", "times", "subject", "what", "where")
        rows = (
            [one["kind"], one["times"], one["subject"], one["text"], one["place"] or ""] for one in result["details"]
        )
        print_table(columns, rows)
    if result["details_omitted"]:
        print_line(f"and {result['details_omitted']} more findings of these kinds")
    print_line("")
    print_line("clean: nothing found" if result["clean"] else _totals(result), "green" if result["clean"] else "red")
    print_line("What an audit of Kafka cannot see:")
    for one in result["cannot_see"]:
        print_line(f"- {one}")


def _summary(result: dict[str, Any]) -> Iterator[str]:
    yield f"account {result['account']}: {result['updates']} updates of {result['series']} series"
    for topic, count in result["read"].items():
        yield f"  {topic}: {count} records"
    if result["open_gaps"]:
        yield f"  {result['open_gaps']} series have a gap that is open and declared"
    through = result["proven_through_ms"]
    if through is None:
        yield "no heartbeat of some shard: nothing is proven complete"
    else:
        age = result["unproven_seconds"]
        yield f"complete through {_iso(through)}; everything since then, {age:.1f} s, is not proven"
    batches = ", ".join(f"{batch} of shard {shard}" for shard, batch in result["compared_through_batch"].items())
    yield f"compared through batch {batches}"


def _totals(result: dict[str, Any]) -> str:
    return "found: " + ", ".join(f"{kind} {times}" for kind, times in result["findings"].items())


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


# All the time.


def _watch(audit: Audit, interval: float, port: int, *, as_json: bool) -> bool:
    from connector.verify.exposition import Exposition, serve

    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    exposition = Exposition(audit.auditor)
    stop = serve(exposition, port) if port else None
    try:
        with contextlib.suppress(_Stopped):
            _compare(audit, exposition, stopped, interval, as_json=as_json)
    finally:
        if stop is not None:
            stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    return not audit.auditor.findings.totals


class _Stopped(Exception):
    """The user ended it while the topics were being read."""


def _compare(audit: Audit, exposition: Exposition, stopped: threading.Event, interval: float, *, as_json: bool) -> None:
    from connector.cli.console import print_error

    def look(_done: int, _total: int) -> None:
        if stopped.is_set():
            raise _Stopped

    audit.start(look)
    _print_start(audit, as_json=as_json)
    while not stopped.wait(interval):
        try:
            audit.round(look)
        except SinkUnavailable as error:
            print_error(str(error))
            continue
        exposition.compared_at = time.time()
        _print_changes(audit, as_json=as_json)


def _print_start(audit: Audit, *, as_json: bool) -> None:
    if as_json:
        from connector.cli.console import print_json

        print_json({"event": "started", **audit.result()})
        sys.stdout.flush()
        audit.auditor.findings.fresh()
    else:
        _print_result(audit.result() | {"details": []})
        _print_changes(audit, as_json=False)


def _print_changes(audit: Audit, *, as_json: bool) -> None:
    from connector.cli.console import print_json, print_line

    for finding in audit.auditor.findings.fresh():
        if as_json:
            print_json({"event": "finding", "at_ms": int(time.time() * 1000), **finding.as_json()})
            sys.stdout.flush()
        else:
            print_line(f"{_iso(int(time.time() * 1000))}  {_line(finding)}", "red")


def _line(finding: Finding) -> str:
    place = f"  {finding.place}" if finding.place else ""
    return f"{finding.kind} x{finding.times}  {finding.subject}: {finding.text}{place}"


# One update.


def _explain(audit: Audit, event_id: str, *, as_json: bool) -> bool:
    from connector.cli.console import print_json, print_line
    from connector.verify.explain import Explanation

    explanation = Explanation(event_id, audit.layout)
    explanation.read(audit.reader, audit.since_ms)
    found = explanation.as_json()
    if as_json:
        print_json(found, indent=2)
        return explanation.found
    if not explanation.found:
        print_line(f"{event_id}: not in metrics, or no longer")
    for record in found.pop("records"):
        _print_fields("record", record)
    for name in ("gap_before", "gap_after", "heartbeat_before", "heartbeat_with_or_after"):
        _print_fields(name.replace("_", " "), found[name])
    return explanation.found


def _print_fields(title: str, fields: dict[str, Any] | None) -> None:
    from connector.cli.console import print_line

    print_line(f"{title}: none in retention" if fields is None else title)
    for name, value in (fields or {}).items():
        shown = (
            f"{value}  {_iso(value)}"
            if value and (name.endswith(("_at", "_through")) or name == "timestamp")
            else value
        )
        print_line(f"  {name:22} {shown}")

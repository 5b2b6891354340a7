"""``emulate``: the Streaming API on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from connector.errors import ConfigError, ConnectorError


def emulate(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    rate: Annotated[
        float | None,
        typer.Option(help="Frames a second to push in total, by speeding time up. Default: real time."),
    ] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds per second, without --rate.")] = 1.0,
    departments: Annotated[int, typer.Option(min=0, help="Departments of the account.")] = 3,
    first_department_id: Annotated[int, typer.Option(min=1, help="Id of the first department.")] = 1,
    seed: Annotated[int, typer.Option(help="Same seed, same world.")] = 1,
    blast: Annotated[
        int, typer.Option(min=0, help="Send so many pre-made updates over and over, at --rate or flat out.")
    ] = 0,
    journal: Annotated[Path | None, typer.Option(help="File for one JSON line per frame sent.")] = None,
    journal_all: Annotated[bool, typer.Option(help="Also journal what was published but not delivered.")] = False,
    journal_sync: Annotated[bool, typer.Option(help="Wait for the disk at every flush of the journal.")] = False,
    tls: Annotated[Path | None, typer.Option(help="Serve wss/https; directory for the test CA (ca.pem).")] = None,
    token: Annotated[list[str] | None, typer.Option(help="ROLE=TOKEN; roles owner, administrator, agent.")] = None,
    switch: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, see --list-switches.")] = None,
    cold: Annotated[bool, typer.Option(help="Start with nothing computed.")] = False,
    duration: Annotated[float | None, typer.Option(help="Seconds until it ends by itself.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line when ready, one at the end.")] = False,
    list_switches: Annotated[bool, typer.Option(help="Show every switch and end.")] = False,
) -> None:
    """Run the Zendesk Chat Streaming API on this machine: stream, REST, Departments API, faults on command."""
    given = {name: value for name, value in locals().items() if name not in ("as_json", "list_switches", "duration")}
    if list_switches:
        _print_switches()
        return
    try:
        asyncio.run(_run(given, duration, as_json=as_json))
    except ConnectorError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


async def _run(given: dict[str, Any], duration: float | None, *, as_json: bool) -> None:
    from connector.emulator.server import Emulator

    async with Emulator(_settings(given)) as emulator:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, emulator.finished.set)
        _print_ready(emulator, as_json=as_json)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(emulator.finished.wait(), duration)
    _print_summary(emulator.control("stats"), as_json=as_json)


def _settings(given: dict[str, Any]) -> Any:
    from connector.emulator.accounts import parse_tokens
    from connector.emulator.behaviour import parse_switches
    from connector.emulator.settings import EmulatorSettings

    for name in ("rate", "speed"):
        if given[name] is not None and given[name] <= 0:
            raise ConfigError(f"--{name} {given[name]}: must be above 0")
    plain = {name: value for name, value in given.items() if name not in ("token", "switch")}
    tokens = parse_tokens(given["token"] or ())
    return EmulatorSettings(**plain, tokens=tokens, behaviour=parse_switches(given["switch"] or ()))


def _print_ready(emulator: Any, *, as_json: bool) -> None:
    tokens = dict(emulator.gate.accounts.tokens)
    ca = emulator.settings.tls / "ca.pem" if emulator.settings.tls else None
    if as_json:
        ready = {
            "url": emulator.url,
            "http": emulator.http_url,
            "control": f"{emulator.http_url}/_control",
            "host": emulator.settings.host,
            "port": emulator.port,
            "tokens": {role: token for token, role in tokens.items()},
            "ca": str(ca) if ca else None,
            "departments": list(emulator.world.departments),
        }
        print(json.dumps(ready), flush=True)
        return
    print(_welcome(emulator, tokens, ca), flush=True)


def _welcome(emulator: Any, tokens: dict[str, str], ca: Path | None) -> str:
    a_token = next(iter(tokens))
    curl = f"curl{f' --cacert {ca}' if ca else ''}"
    pace = (
        f"{emulator.settings.rate:g} frames/s" if emulator.settings.rate else f"{emulator.settings.speed:g}x real time"
    )
    account = f"{len(emulator.world.departments)} departments, {pace}, seed {emulator.settings.seed}"
    lines = [
        f"Zendesk Chat Streaming API, emulated: {account}",
        f"  stream   {emulator.url}",
        f"  REST     {emulator.http_url}/stream/chats  /stream/agents  /api/v2/departments  /oauth2/token",
        f"  control  {emulator.http_url}/_control/stats",
        *(f"  token    {token} ({role})" for token, role in tokens.items()),
        *([f"  trust    {ca}"] if ca else []),
        f"Try: {curl} -H 'Authorization: Bearer {a_token}' {emulator.http_url}/stream/chats",
        'On the stream send: {"topic": "chats.incoming_chats", "action": "subscribe"}',
        "Stop with ctrl-C.",
    ]
    return "\n".join(lines)


def _print_summary(stats: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"summary": stats}), flush=True)
        return
    print(
        f"\nEnded: {stats['frames']} frames sent on {stats['connects']} sessions, "
        f"{stats['updates']} updates published, {stats['refused_by_limits']} requests refused by limits.",
        flush=True,
    )


def _print_switches() -> None:
    from rich.console import Console
    from rich.table import Table

    from connector.emulator.behaviour import describe

    table = Table("switch", "default", "meaning", box=None)
    for row in describe():
        table.add_row(*row)
    Console().print(table)

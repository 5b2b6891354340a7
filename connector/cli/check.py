"""``check``: everything that can be known before `run`."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.config import ConfigFile, config_path

if TYPE_CHECKING:
    from connector.cli.preflight import Finding


def check(
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Check configuration, secrets, token, departments, every subscription, topics and schemas."""
    from connector.cli.preflight import preflight
    from connector.config import load

    config = load(config_path(config_file), os.environ)
    findings = asyncio.run(preflight(config))
    if as_json:
        _print_json(findings)
    else:
        _print(findings)
    codes = [finding.exit_code for finding in findings if finding.state == "fail"]
    if codes:
        raise typer.Exit(codes[0])


def _print(findings: list[Finding]) -> None:
    from connector.cli.console import print_line, print_table

    rows = [(one.state, one.subject, one.text, one.remedy) for one in findings]
    print_table(["STATE", "WHAT", "FOUND", "REMEDY"], rows)
    count = {state: sum(one.state == state for one in findings) for state in ("pass", "warn", "fail")}
    print_line(f"{count['pass']} passed, {count['warn']} warnings, {count['fail']} failed")


def _print_json(findings: list[Finding]) -> None:
    from connector.cli.console import print_json

    failed = any(one.state == "fail" for one in findings)
    print_json({"ok": not failed, "findings": [one._asdict() for one in findings]})

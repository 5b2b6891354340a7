"""``dead-letters``: what could not become a record, and why."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from connector.cli.config import ConfigFile, config_path
from connector.cli.tail import Start

if TYPE_CHECKING:
    from connector.cli.records import Row

SHOWN: Final = 600
"""Characters of a payload that are shown."""

STAGES: Final = {
    "decode": "the source sent what its documentation does not describe: show the payload to Zendesk, or report it",
    "publish": "Kafka refused the record itself: compare max.message.bytes of the topic with the size",
}
"""What to do about a dead letter, by its stage."""


def dead_letters(
    *,
    config_file: ConfigFile = None,
    reason: Annotated[list[str] | None, typer.Option(help="Only this reason: invalid_json.")] = None,
    start: Annotated[Start, typer.Option("--from", help="Where to begin.")] = Start.beginning,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Wait for more.")] = False,
    payload: Annotated[bool, typer.Option("--payload", help="Show what was received, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List what could not become a record, and explain each reason.

    Each dead letter has, byte for byte, what was received. The update it stands for is in a declared gap.
    """
    from connector.cli.console import print_json, print_line
    from connector.cli.records import Reader
    from connector.config import load

    config = load(config_path(config_file), os.environ)
    reader = Reader(config, (config.names.dead_letters,), from_beginning=start is Start.beginning, follow=follow)
    seen: Counter[tuple[str, str]] = Counter()
    for row in reader.rows():
        value = row.value
        if value is None or (reason and value["error_class"] not in reason):
            continue
        seen[value["error_class"], value["stage"]] += 1
        if as_json:
            print_json(row.as_json())
        else:
            for line in _lines(row, value, payload=payload):
                print_line(line)
        if seen.total() == limit:
            break
    reader.close()
    if not as_json:
        _explain(seen)


def _lines(row: Row, value: dict[str, Any], *, payload: bool) -> list[str]:
    at = datetime.fromtimestamp(row.timestamp_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    what = value["series"] or f"department {row.key}"
    size = f"{value['payload_size']} bytes{', cut' if value['truncated'] else ''}"
    place = f"{row.partition}@{row.offset}"
    lines = [f"{at}  {place:>9}  {value['error_class']:<18}  {what}  {size}  {value['error_message']}"]
    if payload:
        text = bytes(value["payload"]).decode(errors="backslashreplace")
        lines.append(f"    {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}")
        lines.append(f"    session {value['session_id']}, frame {value['frame']}, sha256 {value['payload_sha256']}")
    return lines


def _explain(seen: Counter[tuple[str, str]]) -> None:
    from connector.cli.console import print_line
    from connector.protocol.verdicts import REASONS

    if not seen:
        print_line("No dead letter.")
        return
    print_line("")
    for (reason, stage), times in seen.most_common():
        meaning = REASONS.get(reason, "a reason of another version of this program")
        if stage == "publish":
            meaning = "Kafka will never accept the record"
        print_line(f"{times} times {reason}: {meaning}; {STAGES.get(stage, 'see its message')}", "bold")

"""What the emulator's journal says to the topics after pods came and went."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from faults.oracle import declared, identity, inside

if TYPE_CHECKING:
    from faults.audit import Message


def faults(lines: list[dict[str, Any]], messages: dict[str, list[Message]]) -> list[str]:
    """Every delivered value is in the topic once, in order, or in a declared gap, or a snapshot that repeats."""
    seen = Counter(identity(one) for one in messages["metrics"])
    found = [f"duplicated: {one}" for one, count in seen.items() if count > 1]
    delivered = deliveries(lines)
    sent = {where for where, _, _ in delivered}
    found += [f"invented: {one}" for one in seen if one not in sent]
    spans = declared(messages["gaps"])
    newest: dict[str, str] = {}
    sessions: dict[str, set[str]] = defaultdict(set)
    for where, literal, at_us in delivered:
        session, _, series = where
        repeats = session not in sessions[series] and newest.get(series) == literal
        if where not in seen and not repeats and not inside(spans, series, at_us):
            found.append(f"lost: {where} {literal}")
        sessions[series].add(session)
        newest[series] = literal
    return found + holes(messages["metrics"])


def deliveries(lines: list[dict[str, Any]]) -> list[tuple[tuple[str, int, str], str, int]]:
    """((session, frame, series), literal, microseconds) of every value of every frame, as they were sent."""
    return [
        ((line["session"], line["frame"], series), literal, line["at"])
        for line in lines
        for series, literal in line.get("values") or ()
    ]


def holes(metrics: list[Message]) -> list[str]:
    """Sequences that do not follow one another."""
    last: dict[str, int] = {}
    found = []
    for one in metrics:
        series, sequence = one.value["series"], one.value["sequence"]
        if sequence != last.get(series, sequence - 1) + 1:
            found.append(f"hole: {series} {last[series]} then {sequence}")
        last[series] = sequence
    return found

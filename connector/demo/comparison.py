"""What the emulator sent against what a consumer read: sets of (session, frame, series), never counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

Identity = tuple[str, int, str]
"""Session, number of the frame in it, series."""


class Comparison(NamedTuple):
    """What became of the values that were sent."""

    sent: int
    lost: list[Identity]
    duplicated: list[Identity]
    unknown: list[Identity]
    """Read, but never sent."""
    suppressed: list[Identity]
    """Snapshots of a later session that equal the value before: they rightly have no record."""

    @property
    def faithful(self) -> bool:
        """Every value exactly once, and nothing else."""
        return not (self.lost or self.duplicated or self.unknown)


def frames_of(journal: Path) -> Iterator[dict[str, Any]]:
    """The frames in an emulator's journal, in the order they were sent."""
    with journal.open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if event["event"] == "frame":
                yield event


def compare(frames: Iterable[Mapping[str, Any]], consumed: Mapping[Identity, int]) -> Comparison:
    """Compare the frames sent with the number of records of each value."""
    sent: set[Identity] = set()
    equal_snapshots: set[Identity] = set()
    newest: dict[str, tuple[str, Any]] = {}
    for frame in frames:
        session = frame["session"]
        for series, literal in frame.get("values") or ():
            identity = (session, frame["frame"], series)
            sent.add(identity)
            before_session, before = newest.get(series, (session, None))
            if before_session != session and before == literal:
                equal_snapshots.add(identity)
            newest[series] = session, literal
    missing = sent - consumed.keys()
    return Comparison(
        len(sent),
        lost=sorted(missing - equal_snapshots),
        duplicated=sorted(one for one, count in consumed.items() if count > 1),
        unknown=sorted(consumed.keys() - sent),
        suppressed=sorted(missing & equal_snapshots),
    )

"""What readers must find after an owner was killed: what the source sent, less the declared gaps.

Of what readers read, `metrics`, nothing is asked here: the emulator's journal says what was sent, the gaps say what may
be missing, and the harness says when it killed.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Seen(NamedTuple):
    """One update as the source sent it, and as every reader sees it."""

    session: str
    frame: int
    series: str
    literal: str


def seen(rows: Iterable[Mapping[str, Any]]) -> list[Seen]:
    """The updates of a reader's rows, sorted; one that is there twice is twice in it."""
    return sorted(
        Seen(row["session_id"], row["frame"], row["series"], "null" if row["value_raw"] is None else row["value_raw"])
        for row in rows
    )


def promised(frames: Iterable[Mapping[str, Any]], gaps: Iterable[Mapping[str, Any]], died: float) -> list[Seen]:
    """Every update that must be there, sorted.

    Of a session that a gap ended, those up to the ``last_sequence_before`` of the gap; what follows may be missing only
    from ``started_at`` on. Of the session after it all, but a first value equal to the newest before it, which is no
    update.

    Args:
        frames: of the journal; ``at`` in microseconds.
        gaps: rows of the topic.
        died: when the owner was killed, seconds; every gap has it inside.
    """
    final = defaultdict(list)
    for gap in sorted((gap for gap in gaps if gap["ended_at"] is not None), key=lambda gap: gap["epoch_after"]):
        assert gap["started_at"].timestamp() <= died <= gap["ended_at"].timestamp() + 0.001, gap
        final[gap["series"]].append(gap)
    sent = defaultdict(list)
    for line in frames:
        for series, literal in line.get("values") or ():
            sent[series].append((line["at"], Seen(line["session"], line["frame"], series, literal)))
    return sorted(one for series, values in sent.items() for one in _kept(values, final[series]))


def _kept(values: list[tuple[int, Seen]], gaps: list[dict[str, Any]]) -> list[Seen]:
    """Of one series: its values in the order in which they were sent, and its gaps."""
    kept: list[Seen] = []
    sessions = [list(group) for _, group in itertools.groupby(values, key=lambda value: value[1].session)]
    assert len(sessions) == len(gaps) + 1, (sessions[0][0], gaps)
    for number, session in enumerate(sessions):
        equal = bool(kept) and session[0][1].literal == kept[-1].literal
        updates = session[1:] if equal else session
        if number == len(gaps):
            kept += [one for _, one in updates]
            continue
        published = gaps[number]["last_sequence_before"] - len(kept)
        since = gaps[number]["started_at"].timestamp() * 1e6
        kept += [one for at, (when, one) in enumerate(updates) if at < published or when < since]
    return kept

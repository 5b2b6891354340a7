"""The oldest item that waits cannot be published: Kafka refuses its record for good.

An update becomes a dead letter and its series a gap; its number is given again, so the numbers of what waits behind
it move down by one. A dead letter that is itself refused loses its payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from connector.domain.events import Rejected
from connector.domain.model import Entry, GapClosed, GapOpened, OpenGap, Retired, SourceOffset, Subscribed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from connector.domain.ledger import Position
    from connector.domain.model import Series

REASON = "rejected"


def refuse(
    items: Iterable[Any],
    positions: dict[Series, Position],
    before: dict[Series, SourceOffset],
    message: str,
    *,
    proven_us: int,
) -> list[Any]:
    """What waits, without what was refused.

    Args:
        items: what waits, the refused item first.
        positions: of the ledger; the one of the series is corrected.
        before: what the log holds of each series: everything older than the refused item.
        message: why, for the dead letter.
        proven_us: all that the source sent before is in the log. The gap starts there: a receipt proves nothing.

    Raises:
        ValueError: the item is bookkeeping, without which nothing can go on.
    """
    first, *rest = items
    if isinstance(first, Rejected) and first.payload:
        return [msgspec.structs.replace(first, payload=b"", message=f"{first.message}; payload refused too"), *rest]
    if not isinstance(first, Entry):
        raise ValueError(message)  # noqa: TRY004 - not a wrong type: a wrong moment
    known = before.get(first.series) or SourceOffset(first.series, "active", first.epoch, first.sequence - 1)
    gap = OpenGap(min(first.received_us, proven_us), REASON, "refused by Kafka")
    known = msgspec.structs.replace(known, state="active", epoch=first.epoch, gap=gap)
    return [GapOpened(known, gap), _letter(first, message), *_Renumber(known, gap, positions).run(rest)]


def _letter(entry: Entry, message: str) -> Rejected:
    payload = (entry.raw or "null").encode()
    return Rejected(
        "refused", message, payload, (entry.series,), entry.session_id, entry.frame, entry.received_us, "publish"
    )


class _Renumber:
    """Moves what follows in the same series down by one number and, where the gap is one of its own, up by an epoch."""

    def __init__(self, known: SourceOffset, gap: OpenGap, positions: dict[Series, Position]) -> None:
        self._known = known
        self._gap: OpenGap | None = gap
        self._epochs = 1
        self._positions = positions

    def run(self, rest: list[Any]) -> Iterator[Any]:
        series = self._known.series
        for item in rest:
            if isinstance(item, Entry) and item.series == series:
                yield from self._entry(item)
            elif isinstance(item, GapOpened | GapClosed | Retired | Subscribed) and item.offset.series == series:
                yield from self._bookkeeping(item)
            else:
                yield item
        position = self._positions.get(series)
        if position is not None:
            position.sequence -= 1
            if self._gap is None:
                position.epoch += self._epochs
            else:
                position.gap = self._gap

    def _entry(self, entry: Entry) -> Iterator[Any]:
        moved = msgspec.structs.replace(entry, epoch=entry.epoch + self._epochs, sequence=entry.sequence - 1)
        if self._gap is not None:
            offset = msgspec.structs.replace(self._known, epoch=moved.epoch, gap=None)
            yield GapClosed(offset, self._gap, self._known.value, entry.value, entry.received_us, resynced=True)
            self._gap = None
        yield moved

    def _bookkeeping(self, item: GapOpened | GapClosed | Retired | Subscribed) -> Iterator[Any]:
        """A gap that opens while ours is open is the same gap: it closes both."""
        if self._gap is not None and isinstance(item, GapOpened):
            self._epochs = 0
            return
        offset = item.offset
        moved = msgspec.structs.replace(offset, epoch=offset.epoch + self._epochs, sequence=offset.sequence - 1)
        if self._gap is not None and isinstance(item, GapClosed):
            closed = msgspec.structs.replace(item, offset=moved, gap=self._gap)
            self._gap = None
            yield closed
            return
        if self._gap is not None and isinstance(item, Retired):
            closing = msgspec.structs.replace(moved, state="active", gap=None)
            gap = msgspec.structs.replace(self._gap, detail="removed")
            yield GapClosed(closing, gap, self._known.value, None, item.at_us, resynced=False)
            self._gap = None
        yield msgspec.structs.replace(item, offset=moved)

"""What of a journal still counts, given what the log holds: exactly what continues it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.domain.ledger import ACTIVE, Position
from connector.domain.model import Entry, GapClosed, GapOpened, Retired, Subscribed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from connector.domain.model import Progress, Series


def restore(positions: dict[Series, Position], items: Iterable[Any], progress: Progress) -> Iterator[bool]:
    """Tell for each item, oldest first, whether it still counts; ``positions`` advance with those that do.

    What the log holds already does not, nor does what follows a hole in its series (a damaged entry, None, say):
    the gap of the restart covers that.
    """
    for one, offset in progress.offsets.items():
        if offset.state == ACTIVE:
            positions[one] = Position(offset)
    for item in items:
        yield _restore(positions, item)


def _restore(positions: dict[Series, Position], item: Any) -> bool:
    if item is None or isinstance(item, Retired):
        return False
    if isinstance(item, Entry):
        return _entry(positions.get(item.series), item)
    if isinstance(item, GapOpened | GapClosed):
        return _gap(positions.get(item.offset.series), item)
    if isinstance(item, Subscribed):
        return positions.setdefault(item.offset.series, position := Position(item.offset)) is position
    return True


def _entry(position: Position | None, entry: Entry) -> bool:
    if position is None or (entry.sequence, entry.epoch) != (position.sequence + 1, position.epoch):
        return False
    if position.gap is not None:
        return False
    position.sequence = entry.sequence
    position.value, position.raw = entry.value, entry.raw
    position.received_us, position.session_id = entry.received_us, entry.session_id
    return True


def _gap(position: Position | None, item: GapOpened | GapClosed) -> bool:
    """An opening counts if none is open, a closing if one is."""
    closes = isinstance(item, GapClosed)
    if position is None or closes != (position.gap is not None):
        return False
    offset = item.offset
    if (offset.sequence, offset.epoch) != (position.sequence, position.epoch + closes):
        return False
    position.epoch, position.gap = offset.epoch, offset.gap
    return True

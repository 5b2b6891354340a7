"""Routes every event to the shard it belongs to and to the observers. It counts nothing and waits for nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from connector.domain.events import Closed, Event, Noticed, Opened, Ponged, Rejected, Updated
from connector.domain.model import OpenGap, by_name
from connector.domain.partition import partition_for

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connector.domain.model import Series
    from connector.protocol.session import Session
    from connector.runtime.publisher import Publisher


class Pipeline:
    """The publishers of the shards this replica owns, and what is known of the open session.

    ``observers`` receive every event but `Updated`; of updates they learn when they are committed.
    """

    def __init__(self, *, partitions: int, shards: int, observers: Iterable[Callable[[Event], None]] = ()) -> None:
        self._partitions = partitions
        self._shards = shards
        self._observers = list(observers)
        self._publishers: dict[int, Publisher] = {}
        self._series: tuple[Series, ...] = ()
        self._of: dict[Series, Publisher] = {}
        self._proof_us: int | None = None
        self._last_frame_us: int | None = None
        self._rtt_ms: float | None = None
        self._session: Session | None = None
        self._frames_before = 0

    # Shards and series.

    def shard_of(self, series: Series) -> int:
        """The shard that publishes a series: its metrics partition modulo the number of shards."""
        return partition_for(series.key.encode(), self._partitions) % self._shards

    def configure(self, series: tuple[Series, ...]) -> None:
        """The series that are configured from now on, in all shards; those that left are retired."""
        gone = sorted(set(self._series) - set(series), key=by_name)
        for publisher in self._publishers.values():
            publisher.retire(gone)
        self._series = series
        for publisher in self._publishers.values():
            publisher.announce(self.series_of(publisher.shard))
        self._route()

    def series_of(self, shard: int) -> tuple[Series, ...]:
        """The configured series of one shard."""
        return tuple(one for one in self._series if self.shard_of(one) == shard)

    def attach(self, publisher: Publisher) -> None:
        """This replica owns the publisher's shard. What is configured may have changed while it was acquired."""
        self._publishers[publisher.shard] = publisher
        series = self.series_of(publisher.shard)
        publisher.retire(sorted(publisher.ledger.positions.keys() - set(series), key=by_name))
        publisher.announce(series)
        self._route()

    def detach(self, publisher: Publisher) -> None:
        """This replica no longer owns the shard: its updates are somebody else's."""
        self._publishers.pop(publisher.shard, None)
        self._route()

    @property
    def waiting(self) -> int:
        """What waits for its transaction now: updates, and what opens and closes gaps."""
        return sum(len(publisher.ledger.queue) for publisher in self._publishers.values())

    @property
    def configured(self) -> tuple[Series, ...]:
        """Every configured series, of all shards."""
        return self._series

    @property
    def followed(self) -> tuple[Series, ...]:
        """The configured series of the shards that are owned, once the log has a row of them."""
        return tuple(self._of)

    def subscribe(self, series: Iterable[Series]) -> None:
        """The open session asks for these series from now on."""
        for one in series:
            self._of[one].subscribe((one,))

    def _route(self) -> None:
        owners = {one: self._publishers.get(self.shard_of(one)) for one in self._series}
        self._of = {one: owner for one, owner in owners.items() if owner is not None and owner.knows(one)}

    # Events.

    def handle(self, event: Event) -> None:
        """Every event passes here, in the order in which it happened."""
        if type(event) is Updated:
            self._last_frame_us = event.received_us
            publisher = self._of.get(event.series)
            if publisher is not None:
                publisher.admit(event)
            return
        if isinstance(event, Rejected):
            self._last_frame_us = event.received_us
            self._reject(event)
        elif isinstance(event, Opened):
            self._open(event)
        elif isinstance(event, Closed):
            self._close(event)
        elif isinstance(event, Ponged):
            self._prove(max(self._proof_us or 0, event.sent_us))
            self._rtt_ms = event.rtt_ms
        elif isinstance(event, Noticed):
            self._last_frame_us = event.at_us
        for observe in tuple(self._observers):
            self._show(observe, event)

    def _show(self, observe: Callable[[Event], None], event: Event) -> None:
        """What is only watched must not stop what is published: an observer that fails is left out from then on."""
        try:
            observe(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the observer's
            self._observers.remove(observe)
            _log.error("%s failed and is left out: %s: %s", observe, type(error).__name__, error)

    def opened(self, session: Session) -> None:
        """The session behind the last `Opened`."""
        self._session = session

    def _reject(self, event: Rejected) -> None:
        """All series of one frame share a department, hence a shard; a frame that names none may be of any.

        Its dead letter goes to a shard that has room for it. The other shards commit by themselves, perhaps before
        it: each declares that it may have missed a value.
        """
        known = [self._of[one] for one in event.series if one in self._of]
        if known:
            known[0].reject(event)
            return
        publishers = sorted(self._publishers.values(), key=lambda publisher: not publisher.ledger.has_room)
        for number, publisher in enumerate(publishers):
            if number == 0:
                publisher.reject(event)
            else:
                publisher.doubt(event)

    def _open(self, event: Opened) -> None:
        self._prove(event.at_us)
        self._rtt_ms = None
        for publisher in self._publishers.values():
            publisher.subscribe([one for one, owner in self._of.items() if owner is publisher])

    def _prove(self, through_us: int) -> None:
        self._proof_us = through_us
        for publisher in self._publishers.values():
            publisher.prove(through_us)

    def _close(self, event: Closed) -> None:
        if self._session is not None:
            self._frames_before += self._session.frames
        self._session = None
        self._proof_us = None
        gap = OpenGap(event.through_us, event.reason, event.message)
        for publisher in self._publishers.values():
            publisher.close(gap)

    # What a heartbeat says of the session.

    def proof_us(self) -> int | None:
        """Up to when the open session is known to be whole; None without a session."""
        return self._proof_us

    def beat(self, series: Iterable[Series]) -> dict[str, Any]:
        """The fields of a heartbeat that describe the session, for the given series."""
        session = self._session
        active = 0 if session is None else sum(1 for one in series if one in session.active)
        return {
            "state": "connecting" if session is None else "connected",
            "session_id": None if session is None else session.session_id,
            "last_frame_us": self._last_frame_us,
            "ping_rtt_ms": self._rtt_ms,
            "series_active": active,
            "frames_total": self._frames_before + (0 if session is None else session.frames),
        }

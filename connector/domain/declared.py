"""What was missed or refused, declared: gaps and dead letters. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from connector.domain.model import GapClosed, GapOpened, OpenGap, Record, SourceOffset
from connector.domain.partition import partition_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connector.domain.events import Rejected
    from connector.domain.headers import Form
    from connector.domain.routes import Routes
    from connector.domain.topics import Topics

GAP: Final = "gap"
DEAD_LETTER: Final = "dead-letter"
UNKNOWN_DEPARTMENT: Final = "unknown"


class Declared:
    """Makes the records of gaps and dead letters. Arguments as in `records.Recorder`."""

    def __init__(
        self,
        topics: Topics,
        routes: Routes,
        headers: Form,
        *,
        account: str,
        version: str,
        partitions: int,
        payload_bytes: int,
    ) -> None:
        self._topics = topics
        self._routes = routes
        self._headers = headers
        self._account = account
        self._version = version
        self._partitions = partitions
        self._payload_bytes = payload_bytes

    def gaps(self, items: Sequence[Any]) -> Iterator[Record]:
        """A final record of each gap that ended, an open one of each other."""
        closed = {(item.offset.series, item.offset.epoch - 1) for item in items if isinstance(item, GapClosed)}
        for item in items:
            if isinstance(item, GapClosed):
                yield self._gap(item.offset, item.gap, item)
            elif isinstance(item, GapOpened) and (item.offset.series, item.offset.epoch) not in closed:
                yield self._gap(item.offset, item.gap, None)

    def _gap(self, offset: SourceOffset, gap: OpenGap, closed: GapClosed | None) -> Record:
        series = offset.series
        route = self._routes(series)
        before = offset.epoch if closed is None else offset.epoch - 1
        gap_id = f"{self._account}/{route.name}/{before + 1}"
        ended_ms = None if closed is None else closed.ended_us // 1000
        value = {
            "gap_id": gap_id,
            "account": self._account,
            "series": route.name,
            "family": series.family,
            "metric": series.metric,
            "department_id": series.department_id,
            "window_minutes": series.window,
            "epoch_before": before,
            "epoch_after": before + 1,
            "last_sequence_before": offset.sequence,
            "first_sequence_after": None if closed is None else offset.sequence + 1,
            "started_at": gap.started_us // 1000,
            "ended_at": ended_ms,
            "reason": gap.reason,
            "detail": gap.detail,
            "value_before": offset.value if closed is None else closed.value_before,
            "value_after": None if closed is None else closed.value_after,
            "resynced": closed is not None and closed.resynced,
            "updates_dropped": None if closed is None else closed.dropped,
        }
        phase = "open" if closed is None else "final"
        at_us = gap.started_us if closed is None else closed.ended_us
        headers = self._headers("gap", f"{gap_id}/{phase}", route.name, before + 1, at_us)
        return Record(self._topics.gaps, route.partition, route.key, GAP, value, at_us // 1000, headers)

    def dead_letters(self, items: Sequence[Any], now_us: int) -> Iterator[Record]:
        """A record of each frame that could not become one."""
        for item in items:
            if hasattr(item, "payload"):
                yield self._dead_letter(item, now_us)

    def _dead_letter(self, rejected: Rejected, now_us: int) -> Record:
        routes = [self._routes(series) for series in rejected.series]
        keys = {route.key for route in routes}
        key = keys.pop() if len(keys) == 1 else UNKNOWN_DEPARTMENT.encode()
        error_id = f"{self._account}/{rejected.session_id}/{rejected.frame}"
        payload = rejected.payload
        value = {
            "error_id": error_id,
            "account": self._account,
            "stage": rejected.stage,
            "error_class": rejected.reason,
            "error_message": rejected.message,
            "failed_at": now_us // 1000,
            "received_at": rejected.received_us // 1000,
            "session_id": rejected.session_id,
            "frame": rejected.frame,
            "series": routes[0].name if len(routes) == 1 else None,
            "intended_topic": routes[0].topic if routes else None,
            "payload": payload[: self._payload_bytes],
            "payload_size": len(payload),
            "payload_sha256": hashlib.sha256(payload).hexdigest(),
            "truncated": len(payload) > self._payload_bytes,
            "processor": "zendesk-chat-kafka",
            "processor_version": self._version,
        }
        headers = self._headers("dead-letter", error_id, rejected.reason, rejected.frame, rejected.received_us)
        partition = partition_for(key, self._partitions)
        timestamp = rejected.received_us // 1000
        return Record(self._topics.dead_letters, partition, key, DEAD_LETTER, value, timestamp, headers)

"""CloudEvents 1.0 headers of our records: Kafka protocol binding, binary mode."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

Headers = list[tuple[str, bytes]]
Form = Callable[[str, str, str, int, int], Headers | None]
"""(kind, event id, subject, sequence, time in microseconds) -> headers."""

_TYPES: Final = {kind: f"zendesk.chat.{kind}".encode() for kind in ("metric-update", "gap", "dead-letter", "heartbeat")}


def minimal(account: str) -> Form:
    """The four headers that CloudEvents requires."""
    source = f"/zendesk-chat/{account}".encode()

    def form(kind: str, event_id: str, _subject: str, _sequence: int, _at_us: int) -> Headers:
        return [
            ("ce_specversion", b"1.0"),
            ("ce_id", event_id.encode()),
            ("ce_source", source),
            ("ce_type", _TYPES[kind]),
        ]

    return form


def full(account: str) -> Form:
    """Time, subject, sequence, schema and content type besides."""
    required = minimal(account)

    def form(kind: str, event_id: str, subject: str, sequence: int, at_us: int) -> Headers:
        return [
            *(required(kind, event_id, subject, sequence, at_us) or []),
            ("ce_time", datetime.fromtimestamp(at_us / 1e6, UTC).isoformat().encode()),
            ("ce_subject", subject.encode()),
            # The CloudEvents sequence extension orders by text: pad to the width of a 64-bit number.
            ("ce_sequence", f"{sequence:020d}".encode()),
            ("ce_dataschema", f"{kind}.avsc".encode()),
            # application/avro would be untrue: five bytes of framing stand before the value.
            ("content-type", b"application/vnd.zendesk-chat.avro-framed"),
        ]

    return form


def none(_account: str) -> Form:
    """No headers."""
    return lambda *_: None


FORMS: Final[dict[str, Callable[[str], Form]]] = {"minimal": minimal, "full": full, "none": none}

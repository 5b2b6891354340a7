"""Everything that can happen, as frozen facts in the past tense.

They flow one way: frame -> session -> pipeline -> sink -> observers. Nothing calls back.
Times named ``*_us`` are wall clock, microseconds since the epoch.
"""

from __future__ import annotations

import msgspec

from connector.domain.model import Batch, Series  # noqa: TC001 - msgspec resolves the annotations


class Updated(msgspec.Struct, frozen=True, gc=False):
    """The source pushed one value of one subscribed series.

    ``value`` is None where the source sent null; ``raw`` is the JSON literal as received, None for null.
    ``frame`` is the number of the frame in its session, from 1, whatever the frame carried.
    """

    series: Series
    value: float | None
    raw: str | None
    session_id: str
    frame: int
    received_us: int


class Rejected(msgspec.Struct, frozen=True, tag=True):
    """A frame, or a part of it, cannot become a record: it goes to the dead letters, byte for byte.

    ``reason`` is a stable code, ``message`` is for people, ``series`` are the series whose value was lost,
    empty where the frame does not tell.
    """

    reason: str
    message: str
    payload: bytes
    series: tuple[Series, ...]
    session_id: str
    frame: int
    received_us: int
    stage: str = "decode"


class Noticed(msgspec.Struct, frozen=True):
    """The source said something that is no value.

    ``kind`` is one of: authenticated, unauthenticated (no first frame in time), not_computed, error (an in-band
    5xx, never attributed to a subscription), refused (an in-band 4xx), acknowledged, unknown_type, unknown_field,
    unwanted (a value of a series that is not subscribed).
    """

    kind: str
    status: int
    text: str
    session_id: str
    frame: int
    at_us: int


class Opened(msgspec.Struct, frozen=True):
    """A session with the source was opened and is subscribing."""

    session_id: str
    at_us: int


class Refused(msgspec.Struct, frozen=True):
    """No session could be opened; the next try follows in ``seconds``."""

    reason: str
    message: str
    seconds: float
    at_us: int


class Ponged(msgspec.Struct, frozen=True):
    """The source answered a ping: all it sent before is received, so nothing up to ``sent_us`` is missing."""

    session_id: str
    sent_us: int
    rtt_ms: float


class Closed(msgspec.Struct, frozen=True):
    """The session ended. ``through_us``: the newest instant up to which it is known to have been whole."""

    session_id: str
    reason: str
    message: str
    through_us: int
    at_us: int


class Committed(msgspec.Struct, frozen=True):
    """A transaction is in Kafka."""

    batch: Batch
    batch_id: int
    seconds: float
    at_us: int


class Failed(msgspec.Struct, frozen=True):
    """A transaction is not known to be in Kafka; the shard is recovered before anything else is published."""

    shard: int
    error: str
    at_us: int


class Acquired(msgspec.Struct, frozen=True):
    """This replica owns the shard, has fenced its predecessor and has read its progress back."""

    shard: int
    owner_epoch: int
    series: int
    seconds: float
    at_us: int


class Recovered(msgspec.Struct, frozen=True):
    """The producer was replaced, and the log read back.

    ``landed``: whether the transaction in doubt is in the log, or was aborted; None if none was in doubt, since the
    producer was replaced between two of them.
    """

    shard: int
    landed: bool | None
    at_us: int


class Yielded(msgspec.Struct, frozen=True):
    """This replica no longer owns the shard."""

    shard: int
    reason: str
    at_us: int


class Reloaded(msgspec.Struct, frozen=True):
    """The configuration, or a secret, was read again: ``applied``, or refused while the old one goes on."""

    applied: bool
    message: str
    at_us: int


Event = (
    Updated
    | Rejected
    | Noticed
    | Opened
    | Refused
    | Ponged
    | Closed
    | Committed
    | Failed
    | Acquired
    | Recovered
    | Yielded
    | Reloaded
)

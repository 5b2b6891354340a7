"""The things the connector talks about. Plain values: no clock, no I/O."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from connector.domain.metrics import BY_NAME, Metric

ALL_DEPARTMENTS: Final = "all"
"""Kafka key of account-wide series, which carry no department."""


class Series(msgspec.Struct, frozen=True, cache_hash=True):
    """The identity of one sequence of values: metric, window or none, department or none.

    It is also what one subscription asks the source for.
    """

    family: str
    metric: str
    window: int | None = None
    department_id: int | None = None

    @property
    def name(self) -> str:
        """Identity as text, ``chats.missed_chats|30|5``: absent parts stay empty."""
        window = "" if self.window is None else self.window
        department = "" if self.department_id is None else self.department_id
        return f"{self.family}.{self.metric}|{window}|{department}"

    @property
    def key(self) -> str:
        """Kafka key of the department-keyed topics: the id, or ``all``; never empty."""
        return ALL_DEPARTMENTS if self.department_id is None else str(self.department_id)

    @property
    def definition(self) -> Metric:
        """The row of the metric table that this series belongs to."""
        return BY_NAME[f"{self.family}.{self.metric}"]

    @classmethod
    def parse(cls, name: str) -> Series:
        """The inverse of `name`.

        Raises:
            ValueError: the text is not of the form ``family.metric|window|department``.
        """
        metric_name, window, department = name.split("|")
        family, metric = metric_name.split(".")
        return cls(family, metric, int(window) if window else None, int(department) if department else None)


def by_name(series: Series) -> str:
    """A sort key: absent windows and departments cannot be compared with numbers."""
    return series.name


class SourceOffset(msgspec.Struct, frozen=True, gc=False):
    """How far one series has come: the connector's memory of it, a row of the offsets topic.

    ``value``, ``raw`` and ``received_us`` are those of the newest value known; ``sequence`` 0 means no record yet.
    ``gap`` is the gap that is declared and still open, if any.
    """

    series: Series
    state: str
    epoch: int
    sequence: int
    value: float | None = None
    raw: str | None = None
    received_us: int | None = None
    session_id: str = ""
    gap: OpenGap | None = None


class OpenGap(msgspec.Struct, frozen=True, gc=False):
    """A span that began and has not ended: since when continuity is unproven, and why."""

    started_us: int
    reason: str
    detail: str | None = None


class Entry(msgspec.Struct, frozen=True, tag=True, gc=False):
    """One update with its place in its series: what becomes a record of metrics and of latest."""

    series: Series
    epoch: int
    sequence: int
    value: float | None
    raw: str | None
    origin: str
    received_us: int
    session_id: str
    frame: int


class GapOpened(msgspec.Struct, frozen=True, tag=True):
    """A gap of one series was noticed. ``offset`` is the series as it stands, with the gap in it."""

    offset: SourceOffset
    gap: OpenGap


class GapClosed(msgspec.Struct, frozen=True, tag=True):
    """A gap ended: ``offset`` is the series in its new epoch, before the value that ended it has a record."""

    offset: SourceOffset
    gap: OpenGap
    value_before: float | None
    value_after: float | None
    ended_us: int
    resynced: bool
    dropped: int | None = None


class Subscribed(msgspec.Struct, frozen=True, tag=True):
    """A series is followed from now on, before any value of it: its row says so even after a crash."""

    offset: SourceOffset


class Retired(msgspec.Struct, frozen=True, tag=True):
    """A series is no longer configured: ``latest`` gets a tombstone, ``offsets`` the state removed."""

    offset: SourceOffset
    at_us: int


class ShardState(msgspec.Struct, frozen=True):
    """The shard row: counters of the shard that a recovery continues. 0 and 0 before the first transaction.

    ``complete_through_us``: every update that the source sent before is committed or inside a declared gap.
    """

    owner: str = ""
    owner_epoch: int = 0
    batch_id: int = 0
    heartbeat_seq: int = 0
    complete_through_us: int = 0


class Progress(msgspec.Struct, frozen=True):
    """What the log says of one shard, read back after the fence."""

    shard: ShardState
    offsets: dict[Series, SourceOffset]
    lost: dict[Series, int] = {}
    """Series whose rows are gone and were rebuilt from other topics, each with the instant (µs) since when it may have
    missed something: their gaps have the reason state_lost."""
    incomplete: bool = False
    """True if rows are gone: a series that nothing tells of may have been followed all the same."""


class Beat(msgspec.Struct, frozen=True):
    """The heartbeat of one batch: state and counters since the owner epoch began."""

    emitted_us: int
    state: str
    session_id: str | None
    last_frame_us: int | None
    ping_rtt_ms: float | None
    series_expected: int
    series_active: int
    counters: dict[str, int]


class Batch(msgspec.Struct, frozen=True):
    """What one transaction carries, in order; numbered and timed when it is sent."""

    shard: int
    items: tuple[Any, ...]
    complete_through_us: int
    beat: Beat | None = None


class Record(NamedTuple):
    """One Kafka record. ``schema`` names an .avsc; ``value`` None is a tombstone, bytes are encoded already."""

    topic: str
    partition: int
    key: bytes
    schema: str
    value: dict[str, Any] | bytes | None
    timestamp_ms: int
    headers: list[tuple[str, bytes]] | None = None

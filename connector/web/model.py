"""What /api/status answers. The JSON schema at /api/status/schema is made from these types."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

Ms = Annotated[int, Meta(description="Milliseconds since the epoch")]
Milliseconds = Annotated[float, Meta(description="Duration in milliseconds")]


class Guarantee(Struct, frozen=True):
    """Which promise holds right now."""

    configured: Annotated[str, Meta(description="strict | best-effort | demo")]
    holds: Annotated[bool, Meta(description="True if it is the full promise")]
    text: Annotated[str, Meta(description="The promise, in words")]
    why: Annotated[str, Meta(description="Why it is not the full one; empty if it is")]


class Session(Struct, frozen=True):
    """The session with the source, or what keeps it away."""

    connected: bool
    session_id: str | None
    since_ms: Annotated[Ms, Meta(description="Since when it is open, or away")]
    rtt_ms: Annotated[float | None, Meta(description="Round-trip time of the newest ping")]
    last_frame_ms: Ms | None
    frames: Annotated[int, Meta(description="Frames of all sessions")]
    opened: Annotated[int, Meta(description="Sessions opened since the process began")]
    reason: Annotated[str, Meta(description="Why there is none: a stable code")]
    message: Annotated[str, Meta(description="Why there is none, for people")]
    attempts: Annotated[int, Meta(description="Failed attempts since the last session")]
    retry_ms: Annotated[Ms | None, Meta(description="When the next attempt is due")]


class Shard(Struct, frozen=True):
    """One shard that this replica owns."""

    shard: int
    owner_epoch: int
    batch_id: Annotated[int, Meta(description="Number of its newest transaction")]
    acquired_ms: Ms
    complete_through_ms: Annotated[Ms | None, Meta(description="Everything received before is committed")]
    heartbeat_ms: Annotated[Ms | None, Meta(description="When its newest committed heartbeat was made")]
    state: Annotated[str, Meta(description="State in that heartbeat; empty before the first")]


class Member(Struct, frozen=True):
    """One replica, as the consumer group describes it."""

    name: str
    host: str
    shards: tuple[int, ...]
    this: Annotated[bool, Meta(description="True for the replica that answers")] = False


class Members(Struct, frozen=True):
    """The replicas of this account."""

    known: tuple[Member, ...]
    refreshed_ms: Ms | None
    error: Annotated[str, Meta(description="Why the newest refresh failed; empty if it did not")]


class Commit(Struct, frozen=True):
    """One transaction."""

    batch_id: int
    shard: int
    at_ms: Ms
    updates: int
    commit_ms: Milliseconds


class Spread(Struct, frozen=True):
    """Percentiles of the newest transactions."""

    p50: float
    p95: float
    p99: float
    max: float


class Batches(Struct, frozen=True):
    """Transactions: the newest ones, and since the process began."""

    transactions: int
    failed: Annotated[int, Meta(description="Transactions and recoveries that Kafka did not confirm")]
    updates: Annotated[int, Meta(description="Updates committed")]
    updates_per_second: Annotated[float, Meta(description="Over the last 10 s")]
    size: Annotated[Spread | None, Meta(description="Updates in a transaction, empty ones left out")]
    commit_ms: Annotated[Spread | None, Meta(description="Time to commit, milliseconds")]
    latency_ms: Annotated[Spread | None, Meta(description="From receipt of the oldest update to commit, milliseconds")]
    newest: tuple[Commit, ...]


class Buffer(Struct, frozen=True):
    """Conserved counters of the owner epoch: received = records + suppressed + dead letters + dropped + waiting."""

    received: int
    records: int
    suppressed: Annotated[int, Meta(description="Snapshots that only repeated what was known")]
    dead_letters: int
    dropped: int
    waiting: Annotated[int, Meta(description="Updates that wait for their transaction")]
    balanced: Annotated[bool, Meta(description="False if the counters do not add up: an update was lost inside")]
    waiting_now: Annotated[int | None, Meta(description="What waits now; the rest is as of the newest heartbeat")] = (
        None
    )


class Incident(Struct, frozen=True):
    """Gaps that began in the same second for the same reason."""

    reason: str
    detail: str | None
    started_ms: Ms
    ended_ms: Annotated[Ms | None, Meta(description="When its last gap ended; null while one is open")]
    longest_ms: Annotated[int, Meta(description="Longest ended gap in it")]
    series: Annotated[int, Meta(description="Gaps in it, one for each series")]
    open: Annotated[int, Meta(description="How many of them are open")]
    dropped: Annotated[int, Meta(description="Updates known to be dropped")]


class Gaps(Struct, frozen=True):
    """Gaps that this replica committed."""

    open: Annotated[int, Meta(description="Series with an open gap")]
    total: Annotated[int, Meta(description="Gaps opened since the process began")]
    seconds: Annotated[float, Meta(description="Length of all ended gaps, summed over the series")]
    incidents: tuple[Incident, ...]


class Letter(Struct, frozen=True):
    """One dead letter. Its payload stands in the topic only."""

    at_ms: Ms
    reason: str
    stage: str
    size: Annotated[int, Meta(description="Bytes of the frame")]
    series: tuple[str, ...]
    session_id: str
    frame: int


class DeadLetters(Struct, frozen=True):
    """Frames and records that could not go on."""

    total: int
    by_reason: dict[str, int]
    newest: tuple[Letter, ...]


class Reload(Struct, frozen=True):
    """The newest reading of the configuration, or of a secret, while the connector runs."""

    applied: Annotated[bool, Meta(description="False: refused, and what was before goes on")]
    message: str
    at_ms: Ms


class Budget(Struct, frozen=True):
    """Connects and REST requests of the last minute."""

    used: int
    limit: int


class Summary(Struct, frozen=True, kw_only=True):
    """Everything about one replica but its series."""

    generated_ms: Ms
    account: str
    instance: Annotated[str, Meta(description="Name of this replica")]
    version: str
    started_ms: Ms
    role: Annotated[str, Meta(description="owner | standby")]
    level: Annotated[str, Meta(description="ok | degraded | down | standby")]
    message: Annotated[str, Meta(description="The state in one sentence")]
    guarantee: Guarantee
    shards: tuple[Shard, ...]
    members: Members
    session: Session
    batches: Batches
    buffer: Buffer
    gaps: Gaps
    dead_letters: DeadLetters
    budget: Budget | None
    reload: Annotated[Reload | None, Meta(description="None if nothing was read again yet")]
    notices: Annotated[dict[str, int], Meta(description="What the source said besides values, by kind")]
    series_expected: Annotated[int, Meta(description="Series that are followed")]
    series_active: Annotated[int, Meta(description="Series with a value in the open session")]


class Series(Struct, frozen=True):
    """One series of an owned shard."""

    name: Annotated[str, Meta(description="family.metric|window|department, absent parts empty")]
    metric: str
    window: Annotated[int | None, Meta(description="Minutes")]
    department_id: int | None
    department: Annotated[str | None, Meta(description="Name of the department, if it is known")]
    unit: str
    value: float | None
    sequence: int
    epoch: int
    received_ms: Ms | None
    gap: Annotated[str | None, Meta(description="Reason of the open gap, if one is open")]
    points: Annotated[
        tuple[float | None, ...], Meta(description="Newest values, oldest first, at most one for each second")
    ]


class Report(Summary, frozen=True, kw_only=True):
    """The state of one replica of zendesk-chat-kafka."""

    series: tuple[Series, ...]


class Change(Struct, frozen=True, array_like=True):
    """What changed of one series, as the page receives it."""

    name: str
    value: float | None
    sequence: int
    epoch: int
    received_ms: int | None
    gap: str | None


class Delta(Struct, frozen=True):
    """What changed since an earlier report."""

    summary: Summary
    changes: list[Change]


def json_schema() -> bytes:
    """JSON schema of `Report`."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Report)), indent=2)


SCHEMA: Final = json_schema()

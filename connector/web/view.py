"""From what is known to what is shown. Pure: time is an argument, microseconds since the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from connector.domain.health import health, promise
from connector.web import model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.domain.incidents import Incident
    from connector.domain.standing import Letter, Row, Shard
    from connector.domain.status import Status

RATE_SPAN_US = 10_000_000
SHOWN_COMMITS = 60


class Identity(NamedTuple):
    """What never changes while the process lives. ``heartbeat``: distance of two heartbeats, seconds."""

    account: str
    instance: str
    version: str
    guarantee: str
    heartbeat: float = 1.0


class Around(NamedTuple):
    """What the events do not tell: the replicas, the connect budget, the names of the departments.

    ``promise``: which one holds by the newest checks, and why it is no better; None before them.
    ``waiting``: what waits for its transaction now.
    """

    members: model.Members
    budget: model.Budget | None
    departments: Mapping[int, str]
    promise: tuple[str, Sequence[str]] | None = None
    waiting: int | None = None


def summary(status: Status, identity: Identity, around: Around, now_us: int) -> model.Summary:
    """Everything but the series."""
    return model.Summary(**_summary(status, identity, around, now_us))


def report(status: Status, identity: Identity, around: Around, now_us: int) -> model.Report:
    """Everything."""
    series = tuple(_series(row, around.departments) for row in status.rows.values())
    return model.Report(**_summary(status, identity, around, now_us), series=series)


def changes(status: Status, since: int) -> list[model.Change]:
    """The series that changed after ``since``, a `Status.version`."""
    return [
        model.Change(
            row.name,
            row.value,
            row.sequence,
            row.epoch,
            _ms(row.received_us),
            None if row.gap is None else row.gap.reason,
        )
        for row in status.rows.values()
        if row.changed > since
    ]


def _summary(status: Status, identity: Identity, around: Around, now_us: int) -> dict[str, Any]:
    level, message = health(status, now_us, heartbeat_us=int(identity.heartbeat * 1e6))
    checked, reasons = around.promise or (identity.guarantee, ("not checked yet",))
    holds, text = promise(checked, level)
    beats = status.beats()
    return {
        "generated_ms": now_us // 1000,
        "account": identity.account,
        "instance": identity.instance,
        "version": identity.version,
        "started_ms": status.since_us // 1000,
        "role": status.role,
        "level": level,
        "message": message,
        "guarantee": model.Guarantee(identity.guarantee, holds, text, "" if holds else "; ".join(reasons)),
        "shards": tuple(_shard(shard) for shard in status.shards.values()),
        "members": around.members,
        "session": _session(status),
        "batches": _batches(status, now_us),
        "buffer": _buffer(status, around.waiting),
        "gaps": _gaps(status),
        "dead_letters": _dead_letters(status),
        "budget": around.budget,
        "reload": _reload(status),
        "notices": dict(status.notices),
        "series_expected": sum(beat.series_expected for beat in beats),
        "series_active": sum(beat.series_active for beat in beats),
    }


def _session(status: Status) -> model.Session:
    link, trouble = status.link, status.unlinked
    since_us = link.opened_us if link is not None else trouble.since_us if trouble is not None else status.since_us
    beats = status.beats()
    last_us = max((beat.last_frame_us for beat in beats if beat.last_frame_us is not None), default=None)
    return model.Session(
        connected=link is not None,
        session_id=None if link is None else link.session_id,
        since_ms=since_us // 1000,
        rtt_ms=None if link is None else link.rtt_ms,
        last_frame_ms=_ms(last_us),
        frames=frames(status),
        opened=status.sessions,
        reason="" if trouble is None else trouble.reason,
        message="" if trouble is None else trouble.message,
        attempts=0 if trouble is None else trouble.times,
        retry_ms=None if trouble is None else _ms(trouble.retry_us),
    )


def frames(status: Status) -> int:
    """Frames of the process: each shard's heartbeat tells all of them."""
    return max((beat.counters.get("frames_total", 0) for beat in status.beats()), default=0)


def _shard(shard: Shard) -> model.Shard:
    return model.Shard(
        shard.number,
        shard.owner_epoch,
        shard.batch_id,
        shard.acquired_us // 1000,
        _ms(shard.through_us),
        None if shard.beat is None else shard.beat.emitted_us // 1000,
        "" if shard.beat is None else shard.beat.state,
    )


def _batches(status: Status, now_us: int) -> model.Batches:
    commits = list(status.commits)
    recent = [commit for commit in commits if commit.at_us > now_us - RATE_SPAN_US]
    full = len(recent) == len(commits) == status.commits.maxlen
    span_us = now_us - recent[0].at_us if full else RATE_SPAN_US
    latencies = [commit.latency_us / 1000 for commit in commits if commit.latency_us is not None]
    return model.Batches(
        transactions=status.transactions,
        failed=status.failed,
        updates=status.updates,
        updates_per_second=sum(commit.updates for commit in recent) * 1e6 / max(span_us, 1),
        size=_spread([float(commit.updates) for commit in commits if commit.updates]),
        commit_ms=_spread([commit.seconds * 1000 for commit in commits]),
        latency_ms=_spread(latencies),
        newest=tuple(
            model.Commit(one.batch_id, one.shard, one.at_us // 1000, one.updates, round(one.seconds * 1000, 3))
            for one in commits[-SHOWN_COMMITS:]
        ),
    )


def _spread(values: Sequence[float]) -> model.Spread | None:
    if not values:
        return None
    ordered = sorted(values)
    last = len(ordered) - 1
    p50, p95, p99 = (round(ordered[round(last * part)], 3) for part in (0.5, 0.95, 0.99))
    return model.Spread(p50, p95, p99, round(ordered[last], 3))


def _reload(status: Status) -> model.Reload | None:
    newest = status.reloaded
    return None if newest is None else model.Reload(newest.applied, newest.message, newest.at_us // 1000)


def _buffer(status: Status, now: int | None) -> model.Buffer:
    received = status.counted("values_received_total")
    records = status.counted("records_total")
    suppressed = status.counted("repeats_suppressed_total")
    letters = status.counted("dead_letters_total")
    dropped = status.counted("dropped_total")
    waiting = status.counted("waiting")
    balanced = received == records + suppressed + letters + dropped + waiting
    return model.Buffer(received, records, suppressed, letters, dropped, waiting, balanced, now)


def _gaps(status: Status) -> model.Gaps:
    incidents = status.incidents
    return model.Gaps(
        incidents.open_now,
        incidents.opened.total(),
        incidents.microseconds.total() / 1e6,
        tuple(_incident(one) for one in incidents.newest()),
    )


def _incident(one: Incident) -> model.Incident:
    ended_ms = None if one.open or not one.ended_us else one.ended_us // 1000
    longest_ms = one.longest_us // 1000
    started_ms = one.started_us // 1000
    return model.Incident(one.reason, one.detail, started_ms, ended_ms, longest_ms, one.series, one.open, one.dropped)


def _dead_letters(status: Status) -> model.DeadLetters:
    newest = tuple(_letter(letter) for letter in reversed(status.letters))
    return model.DeadLetters(status.letters_by_reason.total(), dict(status.letters_by_reason), newest)


def _letter(letter: Letter) -> model.Letter:
    series = tuple(one.name for one in letter.series)
    at_ms = letter.at_us // 1000
    return model.Letter(at_ms, letter.reason, letter.stage, letter.size, series, letter.session_id, letter.frame)


def _series(row: Row, departments: Mapping[int, str]) -> model.Series:
    series = row.series
    department_id = series.department_id
    return model.Series(
        row.name,
        f"{series.family}.{series.metric}",
        series.window,
        department_id,
        None if department_id is None else departments.get(department_id),
        series.definition.unit,
        row.value,
        row.sequence,
        row.epoch,
        _ms(row.received_us),
        None if row.gap is None else row.gap.reason,
        tuple(row.points),
    )


def _ms(us: int | None) -> int | None:
    return None if us is None else us // 1000

"""A publisher over a sink that fails in every way: each item reaches the log once, in order, whatever happens."""

from __future__ import annotations

import asyncio
import random

import pytest

from connector.domain.batcher import Batcher
from connector.domain.events import Committed, Failed, Recovered, Updated
from connector.domain.model import OpenGap, Progress, Series, ShardState, SourceOffset
from connector.domain.records import Recorder
from connector.domain.topics import Topics
from connector.errors import RecordRefused, SinkFenced, SinkUnavailable
from connector.runtime.backoff import Backoff
from connector.runtime.publisher import Publisher

SERIES = Series("chats", "missed_chats", 30, 5)
TOPICS = Topics(account="acme", prefix="z", heartbeats="z.beats", offsets="z.offsets", dead_letters="z.dead")


class Log:
    """What Kafka holds: committed records only."""

    def __init__(self):
        self.records = []

    def values(self, topic):
        return [record.value for record in self.records if record.topic == topic]

    def progress(self):
        offsets, shard = {}, ShardState()
        for row in self.values("z.offsets"):
            if row["series"] == "#shard":
                through = row["complete_through"] * 1000
                shard = ShardState(row["owner"], row["owner_epoch"], row["batch_id"], row["heartbeat_seq"], through)
            else:
                series = Series.parse(row["series"])
                gap = row["gap_started_at"] and OpenGap(row["gap_started_at"] * 1000, row["gap_reason"])
                offsets[series] = SourceOffset(
                    series,
                    row["state"],
                    row["epoch"],
                    row["last_sequence"],
                    row["last_value"],
                    row["last_value_raw"],
                    (row["last_received_at"] or 0) * 1000,
                    row["session_id"],
                    gap,
                )
        return Progress(shard, offsets)


class FlakySink:
    """Commits, loses, commits and then says that it does not know, or never answers, as told by outcomes."""

    def __init__(self, log, outcomes=(), otherwise="ok"):
        self.otherwise = otherwise
        self.log = log
        self.outcomes = list(outcomes)
        self.suspect = None
        self.acquired = 0

    async def acquire(self):
        self.acquired += 1
        self.suspect = None
        return self.log.progress()

    async def commit(self, make):
        outcome = self.outcomes.pop(0) if self.outcomes else self.otherwise
        records = list(make({}))
        await asyncio.sleep(0)
        if outcome in ("ok", "late", "suspect", "lands"):
            self.log.records += records
        if outcome in ("hangs", "lands"):
            await asyncio.Event().wait()
        if outcome == "suspect":
            self.suspect = "slow"
        if outcome in ("late", "lost"):
            raise SinkUnavailable(outcome)
        if outcome == "fenced":
            raise SinkFenced("fenced")
        return 0.001

    async def close(self):
        pass


class Source:
    def proof_us(self):
        return None

    def beat(self, series):
        return {
            "state": "connected",
            "session_id": "s1",
            "last_frame_us": None,
            "ping_rtt_ms": None,
            "series_active": 1,
            "frames_total": 0,
        }


def publisher(sink, events, owner="me", **options):
    recorder = Recorder(
        TOPICS, account="acme", owner=owner, version="1", shard=0, shards=1, partitions=2, heartbeat_ms=1000
    )
    batcher = Batcher(min_interval=0.0, max_records=3, max_bytes=1 << 20, heartbeat=0.005)
    return Publisher(
        0,
        sink=sink,
        recorder=recorder,
        batcher=batcher,
        source=Source(),
        emit=events.append,
        backoff=Backoff(0.0, 0.0),
        owner=owner,
        **options,
    )


async def publish(sink, values, events=None, owner="me"):
    """Acquire, admit the values with pauses in between, drain."""
    one = publisher(sink, events if events is not None else [], owner)
    await one.acquire([SERIES])
    running = asyncio.create_task(one.run())
    one.subscribe([SERIES])
    for at, value in enumerate(values):
        one.admit(Updated(SERIES, value, str(value), owner, at + 1, 1_000_000 + at))
        await asyncio.sleep(0)
    one.drain()
    await asyncio.wait_for(running, 10)
    return one


@pytest.mark.parametrize("seed", range(30))
def test_whatever_the_sink_does_each_value_is_in_the_log_once_and_in_order(seed):
    rng = random.Random(seed)
    outcomes = rng.choices(["ok", "late", "lost", "suspect"], k=200)
    log = Log()
    asyncio.run(publish(FlakySink(log, outcomes), range(50)))
    metrics = log.values("z.metrics")
    assert [row["value"] for row in metrics] == list(range(50))
    assert [row["sequence"] for row in metrics] == list(range(1, 51))


@pytest.mark.parametrize("seed", range(10))
def test_batch_ids_and_heartbeats_have_no_holes(seed):
    rng = random.Random(seed)
    log = Log()
    asyncio.run(publish(FlakySink(log, rng.choices(["ok", "late", "lost"], k=100)), range(40)))
    rows = [row for row in log.values("z.offsets") if row["series"] == "#shard"]
    assert [row["batch_id"] for row in rows] == list(range(1, len(rows) + 1))
    beats = [row["heartbeat_seq"] for row in log.values("z.beats") if row["partition"] == 0]
    assert beats == list(range(1, len(beats) + 1))
    assert sorted(beats * 2) == sorted(row["heartbeat_seq"] for row in log.values("z.beats"))


def test_a_heartbeat_accounts_for_every_value_received():
    log = Log()
    asyncio.run(publish(FlakySink(log), [1, 2, 3, 3]))
    last = log.values("z.beats")[-1]
    assert last["values_received_total"] == 4
    accounted = ("records_total", "repeats_suppressed_total", "dead_letters_total", "dropped_total", "waiting")
    assert sum(last[name] for name in accounted) == 4
    assert last["state"] == "stopping"


@pytest.mark.parametrize("subscribed", [False, True], ids=["never subscribed", "in a gap"])
def test_without_a_session_nothing_is_complete_that_no_gap_covers(subscribed):
    """Another replica, which takes this one for dead, may hear the first value of a series meanwhile."""
    log = Log()

    async def main():
        one = publisher(FlakySink(log), [])
        await one.acquire([SERIES])
        acquired = one._proofs.through(len(one.ledger.queue))
        if subscribed:
            one.subscribe([SERIES])
            one.close(OpenGap(acquired, "disconnect"))
        running = asyncio.create_task(one.run())
        while len(log.values("z.beats")) < 10:
            await asyncio.sleep(0.005)
        one.drain()
        await running
        return acquired

    acquired = asyncio.run(main())
    last = log.progress().shard.complete_through_us
    assert (last > acquired) is subscribed


def test_the_owner_epoch_steps_at_each_recovery():
    log = Log()
    asyncio.run(publish(FlakySink(log, ["ok", "lost", "ok"]), [1, 2, 3]))
    epochs = [row["owner_epoch"] for row in log.values("z.offsets") if row["series"] == "#shard"]
    assert epochs[0] == 1
    assert epochs[-1] == 2


def test_a_fenced_publisher_stops_at_once():
    log = Log()
    with pytest.raises(SinkFenced):
        asyncio.run(publish(FlakySink(log, ["ok", "fenced"]), range(20)))
    assert len(log.values("z.metrics")) <= 3


def test_a_publisher_that_finds_a_foreign_batch_in_the_log_gives_up_what_waits():
    log = Log()

    class Usurped(FlakySink):
        async def commit(self, make):
            if log.values("z.metrics"):
                await publish(FlakySink(log), [100], owner="other")
                raise SinkUnavailable("timed out")
            return await super().commit(make)

    with pytest.raises(SinkFenced, match="other published batch"):
        asyncio.run(publish(Usurped(log), [1, 2, 3, 4, 5, 6, 7, 8]))
    values = [row["sequence"] for row in log.values("z.metrics")]
    assert values == list(range(1, len(values) + 1))


def test_a_second_owner_declares_the_gap_and_goes_on_counting():
    log = Log()
    asyncio.run(publish(FlakySink(log), [1, 2]))
    asyncio.run(publish(FlakySink(log), [2, 3], owner="other"))
    assert [(row["sequence"], row["epoch"], row["value"]) for row in log.values("z.metrics")] == [
        (1, 1, 1),
        (2, 1, 2),
        (3, 2, 3),
    ]
    final = [row for row in log.values("z.gaps") if row["ended_at"] is not None]
    assert [(row["reason"], row["epoch_after"], row["first_sequence_after"]) for row in final] == [("takeover", 2, 3)]


def test_failures_and_commits_are_told():
    log, events = Log(), []
    asyncio.run(publish(FlakySink(log, ["lost"]), [1], events))
    assert [type(event) for event in events if isinstance(event, Failed | Committed)][:2] == [Failed, Committed]


@pytest.mark.parametrize(("outcome", "landed"), [("lost", False), ("late", True), ("suspect", None)])
def test_what_recovery_found_out_about_the_transaction_is_told(outcome, landed):
    events = []
    asyncio.run(publish(FlakySink(Log(), [outcome]), [1, 2], events))
    assert [event.landed for event in events if isinstance(event, Recovered)] == [landed]


class Picky(FlakySink):
    """Refuses, for good, every transaction that holds the value 13."""

    async def commit(self, make):
        records = list(make({}))
        if any(record.topic == "z.metrics" and record.value["value"] == 13 for record in records):
            raise RecordRefused("too large")
        return await super().commit(lambda _: records)


def test_a_record_that_kafka_refuses_is_set_aside_and_the_rest_flows():
    log = Log()
    asyncio.run(publish(Picky(log), range(30)))
    assert [row["value"] for row in log.values("z.metrics")] == [value for value in range(30) if value != 13]
    assert [row["sequence"] for row in log.values("z.metrics")] == list(range(1, 30))
    assert [row["payload"] for row in log.values("z.dead")] == [b"13"]
    final = [row for row in log.values("z.gaps") if row["ended_at"] is not None]
    assert [(row["reason"], row["epoch_after"]) for row in final] == [("rejected", 2)]


def test_nothing_is_followed_before_the_log_says_whose_shard_it_is():
    log = Log()
    asyncio.run(publish(FlakySink(log), [1, 2]))
    told = []

    async def take_over():
        one = publisher(FlakySink(log), [], "other")
        one.announced = lambda claim: told.append((claim, one.knows(SERIES), len(log.values("z.gaps"))))
        await one.acquire([SERIES])
        assert not one.knows(SERIES)
        one.drain()
        await asyncio.wait_for(one.run(), 10)

    asyncio.run(take_over())
    assert told == [(True, True, 1)]

"""How long it takes to fence a predecessor and read the state of a shard back."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

from bench import measures
from bench.rig import Rig, Run, end
from connector.adapters.kafka import TransactionalSink
from connector.adapters.recovery import Recovery
from connector.adapters.registry import SchemaRegistry
from connector.adapters.schema_files import by_topic
from connector.config import load
from connector.domain.model import Batch, Entry, Series, ShardState
from connector.domain.records import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.measures import Row


def recovery(rig: Rig) -> list[Row]:
    """From the fence to the newest state of a shard, against the rows of the offsets topic."""
    return [{"series": count, **asyncio.run(_recover(rig, count))} for count in (10, 1000, 100_000)]


async def _recover(rig: Rig, count: int) -> Row:
    with Run(rig, series=15, every=1000) as run:
        end(run.process)
        config = load(run.config_file, {})
        sink = _sink(config, run.topic)
        await sink.acquire()
        recorder = Recorder(
            config.names,
            account=config.account,
            owner="bench",
            version="1",
            shard=0,
            shards=1,
            partitions=config.kafka.partitions,
            heartbeat_ms=1000,
        )
        for number, items in enumerate(_batches(count)):
            batch, state = Batch(0, items, 0), ShardState("bench", 1, number + 1000, 0, 0)
            await sink.commit(lambda hints, b=batch, s=state: recorder.transaction(b, s, time.time_ns() // 1000, hints))
        times = []
        for _ in range(measures.ROUNDS):
            began = time.monotonic()
            progress = await sink.acquire()
            times.append(time.monotonic() - began)
        await sink.close()
        if len(progress.offsets) < count:
            raise RuntimeError(f"{len(progress.offsets)} of {count} rows")
        return {"seconds": statistics.median(times), "clean": run.verify()}


def _batches(count: int) -> Iterator[tuple[Entry, ...]]:
    now_us = time.time_ns() // 1000
    entries = [
        Entry(Series("chats", "incoming_chats", None, number), 1, 1, 1.0, "1", "initial", now_us, "s", number)
        for number in range(count)
    ]
    for at in range(0, count, 10_000):
        yield tuple(entries[at : at + 10_000])


def _sink(config: Any, metrics: str) -> TransactionalSink:
    with SchemaRegistry(config.registry) as registry:
        encoders, decode = registry.encoders(by_topic(config.names, (metrics,))), registry.decoder()
    recovery_ = Recovery(
        config.kafka.connection(),
        decode,
        account=config.account,
        topics=config.names,
        metrics=(metrics,),
        shard=0,
        shards=1,
        partitions=config.kafka.partitions,
        timeout=60.0,
    )
    return TransactionalSink(
        {**config.kafka.connection(), "transactional.id": config.names.transactional_id(0)},
        encoders,
        recovery_,
        transaction_timeout=15.0,
        slow_commit=60.0,
    )

"""What `make bench` measures. Each function gives rows for the report; programs to compare run in turn, in one run."""

from __future__ import annotations

import asyncio
import contextlib
import re
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from bench.rig import ROOT, Rig, Run, cpu_seconds, end, rss_mb
from connector.adapters.kafka import TransactionalSink
from connector.adapters.recovery import Recovery
from connector.adapters.registry import SchemaRegistry
from connector.adapters.schema_files import by_topic
from connector.config import load
from connector.domain.model import Batch, Entry, Series, ShardState
from connector.domain.records import Recorder
from connector.local import maven

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]
ROUNDS = 3
"""How often each figure is measured; its median is reported."""

WARM = 2.0
"""Seconds for which a program runs twice before it is measured."""


def median(rows: list[Row]) -> Row:
    """The median of each figure."""
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def in_turn(runs: dict[str, Run], updates: int) -> list[Row]:
    """Bursts of each program in turn, medians; the audit of each connector."""
    for run in runs.values():
        run.burst(5000)
    found: dict[str, list[Row]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            found[name].append(run.burst(updates))
    rows = [{"program": name, **median(rows)} for name, rows in found.items()]
    for row, run in zip(rows, runs.values(), strict=True):
        row["clean"] = run.verify() if run.program == "connector" else None
    return rows


def throughput(rig: Rig, updates: int) -> list[Row]:
    """As fast as it goes, beside scripts that do less."""
    picows = {"source": {"client": "picows"}}
    made = {
        "connector, websockets": ("connector", {}, ()),
        "connector, picows": ("connector", picows, ()),
        "bare script, compiled encoder": ("bare", {}, ()),
        "bare script, compiled encoder, picows": ("bare", {}, ("picows",)),
        "bare script, fastavro": ("bare", {}, ("fastavro",)),
        "bare script without transactions": ("bare", {}, ("plain",)),
    }
    with contextlib.ExitStack() as stack:
        runs = {
            name: stack.enter_context(Run(rig, program, every=1000, config=config, arguments=arguments))
            for name, (program, config, arguments) in made.items()
        }
        rows = in_turn(runs, updates)
    return [*rows, {"program": "Kafka's own ProducerPerformance (Java), produce only", **java_limit(rig, updates)}]


def java_limit(rig: Rig, updates: int) -> Row:
    """Records of the same size by Kafka's own tool, in transactions of 50 ms: no source, no encoding."""
    with Run(rig, every=1_000_000_000) as run:
        command = [
            *(maven.java(), "-Xmx256m", "-cp", f"{maven.kafka_jars()}/*"),
            *("org.apache.kafka.tools.ProducerPerformance", "--topic", run.topic, "--num-records", str(updates * 5)),
            *("--record-size", "180", "--throughput", "-1", "--transactional-id", run.prefix),
            *("--transaction-duration-ms", "50", "--producer-props", f"bootstrap.servers={rig.kafka}"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"updates_per_second": float(re.findall(r"([\d.]+) records/sec", done.stdout)[-1].replace(",", "."))}


def rates(rig: Rig, seconds: float) -> list[Row]:
    """Latency at steady rates, at the default interval and without one, beside the bare script without one.

    The programs run in turn on a broker that is warm: a cold one takes ten times as long for a transaction.
    """
    made = {
        "connector, default interval": ("connector", {}, ()),
        "connector, interval 0": ("connector", {"batch": {"min_interval": 0}}, ()),
        "bare script, interval 0": ("bare", {}, ("interval=0",)),
        "bare script without transactions, interval 0": ("bare", {}, ("interval=0", "plain")),
    }
    rows = []
    for rate in (1000, 10_000, 30_000):
        with contextlib.ExitStack() as stack:
            runs = {
                name: stack.enter_context(
                    Run(rig, program, every=max(1, rate // 1000), config=config, arguments=arguments)
                )
                for name, (program, config, arguments) in made.items()
            }
            for run in (*runs.values(), *runs.values()):
                run.paced(rate, WARM)
            found = [{name: run.paced(rate, seconds) for name, run in runs.items()} for _ in range(ROUNDS)]
            for name, run in runs.items():
                rows.append({"program": name, **median([one[name] for one in found])})
                rows[-1]["clean"] = run.verify() if run.program == "connector" else None
    return rows


def intervals(rig: Rig, seconds: float) -> list[Row]:
    """Latency and cost against the interval between transactions, at 1,000 updates/s."""
    rows = []
    for interval in (0, 10, 20, 25, 30, 50, 100, 250):
        with Run(rig, every=1, config={"batch": {"min_interval": f"{interval}ms"}}) as run:
            run.paced(1000, 1)
            before = run.transactions()
            rows.append({"interval_ms": interval, **run.paced(1000, seconds)})
            rows[-1]["transactions_per_second"] = (run.transactions() - before) / seconds
            rows[-1]["clean"] = run.verify()
    return rows


def growth(rig: Rig, updates: int) -> list[Row]:
    """The cost of an update against the number of series: latest and offsets have a record per series and batch."""
    rows = []
    for count in (10, 100, 1000, 10_000):
        with Run(rig, series=count, every=1000) as run:
            run.burst(5000)
            rows.append({"series": count, **median([run.burst(updates) for _ in range(ROUNDS)])})
            rows[-1]["clean"] = run.verify()
    return rows


def variants(rig: Rig, updates: int) -> list[Row]:
    """Settings that cost or save something."""
    made = {
        "defaults": {},
        "page and metrics off": {"http": {"enabled": False}},
        "3 shards": {"kafka": {"shards": 3}},
        "headers: none": {"headers": "none"},
        "headers: full": {"headers": "full"},
        "latest off": {"topics": {"latest_enabled": False}},
        "compression on": {"source": {"compression": True}},
    }
    with contextlib.ExitStack() as stack:
        runs = {name: stack.enter_context(Run(rig, every=1000, config=config)) for name, config in made.items()}
        return in_turn(runs, updates)


def start_and_stop(rig: Rig) -> list[Row]:
    """Start, memory, the cost of a real account's rate, and the end."""
    rows = []
    for count in (15, 3000):
        for _ in range(ROUNDS):
            with Run(rig, series=count, every=1) as run:
                run.blaster.ask({"rate": 1000, "seconds": 0.1})
                first = run.await_count(1)["last"] - run.started
                time.sleep(2)
                idle = rss_mb(run.process.pid)
                before = cpu_seconds(run.process.pid)
                run.blaster.ask({"rate": 200, "seconds": 5})
                cores = (cpu_seconds(run.process.pid) - before) / 5
                time.sleep(1)
                began = time.monotonic()
                end(run.process)
                stopped = time.monotonic() - began
                rows.append(
                    {"series": count, "first_record_s": first, "rss_mb": idle, "cores_at_200": cores, "stop_s": stopped}
                )
    return [median([row for row in rows if row["series"] == count]) for count in (15, 3000)]


def imports() -> list[Row]:
    """The slowest imports of `run`, milliseconds with what they import themselves."""
    command = [sys.executable, "-X", "importtime", "-c", "import connector.cli.app, connector.cli.run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    lines = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)", done.stderr)
    rows = [{"module": name, "ms": int(total) / 1000} for _, total, _, name in lines]
    return sorted(rows, key=lambda row: -row["ms"])[:12]


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
        for _ in range(ROUNDS):
            began = time.monotonic()
            progress = await sink.acquire()
            times.append(time.monotonic() - began)
        await sink.close()
        if len(progress.offsets) < count:
            raise RuntimeError(f"{len(progress.offsets)} of {count} rows")
        return {"seconds": statistics.median(times)}


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

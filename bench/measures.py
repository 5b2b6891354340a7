"""What `make bench` measures. Each function gives rows for the report; programs to compare run in turn, in one run."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.rig import ROOT, Rig, Run, cpu_seconds, end, rss_mb
from connector.local import maven

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Row = dict[str, Any]
ROUNDS = 3
"""How often each figure is measured; its median is reported."""

RATES = (1000, 10_000, 30_000)
"""Updates a second at which latency is measured."""
WARM = 5.0
"""Seconds for which a program runs before its latency is measured."""


def median(rows: list[Row]) -> Row:
    """The median of each figure; clean is what every audit was."""
    found = {name: statistics.median(row[name] for row in rows) for name in rows[0] if name != "clean"}
    return found | ({"clean": all(row["clean"] for row in rows)} if "clean" in rows[0] else {})


def in_turn(make: Mapping[str, Callable[[], Run]], updates: int) -> list[Row]:
    """A burst of each program in turn, alone on the machine, after another one that is not measured; medians.

    Programs that wait beside it for their turn, with their heartbeats and readers, would slow it by a quarter.
    """
    found: dict[str, list[Row]] = {name: [] for name in make}
    for _ in range(ROUNDS):
        for name, started in make.items():
            with started() as run:
                run.burst(updates // 2)
                found[name].append(run.burst(updates))
                if run.program == "connector":
                    found[name][-1]["clean"] = run.verify()
    return [{"program": name, **median(rows)} for name, rows in found.items()]


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
    rows = in_turn(
        {
            name: partial(Run, rig, program, every=1000, config=config, arguments=arguments)
            for name, (program, config, arguments) in made.items()
        },
        updates,
    )
    rows.append({"program": JAVA, "updates_per_second": java_limit(rig, updates)})
    return compared(rows)


BARE = "bare script, compiled encoder"
JAVA = "Kafka's own ProducerPerformance (Java), produce only"


def compared(rows: list[Row]) -> list[Row]:
    """Each with its share of the rate of the bare script with the same client, and of the Java producer."""
    rate = {row["program"]: row["updates_per_second"] for row in rows}
    for row in rows:
        script = f"{BARE}, picows" if row["program"].endswith("picows") else BARE
        if row["program"] != JAVA:
            row["of_bare_script"] = row["updates_per_second"] / rate[script]
        row["of_java"] = row["updates_per_second"] / rate[JAVA]
    return rows


def java_limit(rig: Rig, updates: int) -> float:
    """Records a second of the same size by Kafka's own tool, in transactions of 50 ms: no source, no encoding."""
    found = []
    with Run(rig, every=1_000_000_000) as run:
        command = [
            *(maven.java(), "-Xmx256m", "-cp", f"{maven.kafka_jars()}/*"),
            *("org.apache.kafka.tools.ProducerPerformance", "--topic", run.topic, "--num-records", str(updates * 3)),
            *("--record-size", "180", "--throughput", "-1", "--transactional-id", run.prefix),
            *("--transaction-duration-ms", "50", "--producer-props", f"bootstrap.servers={rig.kafka}"),
        ]
        for _ in range(ROUNDS):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append(float(re.findall(r"([\d.]+) records/sec", done.stdout)[-1]))
    return statistics.median(found)


def rates(rig: Rig, seconds: float) -> list[Row]:
    """Latency at steady rates, at the default interval and without one, beside the bare script without one.

    Each program runs alone, in turn with the others, on a broker that is warm: a cold one takes ten times as long.
    """
    made = {
        "connector, default interval": ("connector", {}, ()),
        "connector, interval 0": ("connector", {"batch": {"min_interval": 0}}, ()),
        "connector, picows": ("connector", {"source": {"client": "picows"}}, ()),
        "bare script, interval 0": ("bare", {}, ("interval=0",)),
        "bare script without transactions, interval 0": ("bare", {}, ("interval=0", "plain")),
    }
    found: dict[tuple[str, int], list[Row]] = {(name, rate): [] for rate in RATES for name in made}
    for _ in range(ROUNDS):
        for name, (program, config, arguments) in made.items():
            with Run(rig, program, every=5, config=config, arguments=arguments) as run:
                run.paced(RATES[0], WARM)
                for rate in RATES:
                    run.paced(rate, 1)
                    found[name, rate].append(run.paced(rate, seconds))
                clean = {"clean": run.verify()} if program == "connector" else {}
                for rate in RATES:
                    found[name, rate][-1] |= clean
    return [{"program": name, **median(rows)} for (name, _), rows in found.items()]


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


def variants(rig: Rig, updates: int) -> list[Row]:
    """Settings that cost or save something."""
    made = {
        "defaults": {},
        "page and metrics off": {"http": {"enabled": False}},
        "headers: none": {"headers": "none"},
        "headers: full": {"headers": "full"},
        "latest off": {"topics": {"latest_enabled": False}},
        "compression on": {"source": {"compression": True}},
    }
    return in_turn({name: partial(Run, rig, every=1000, config=config) for name, config in made.items()}, updates)


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
                    {
                        "series": count,
                        "first_record_s": first,
                        "rss_mb": idle,
                        "cores_at_200": cores,
                        "stop_s": stopped,
                        "clean": run.verify(),
                    }
                )
    return [median([row for row in rows if row["series"] == count]) for count in (15, 3000)]


def imports() -> list[Row]:
    """The slowest imports of `run`, milliseconds with what they import themselves."""
    command = [sys.executable, "-X", "importtime", "-c", "import connector.cli.app, connector.cli.run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    lines = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)", done.stderr)
    rows = [{"module": name, "ms": int(total) / 1000} for _, total, _, name in lines]
    return sorted(rows, key=lambda row: -row["ms"])[:12]

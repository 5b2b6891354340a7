"""What a run needs: broker and registry, topics of its own, and the processes around one pipeline."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Self

import yaml

from bench.series import subscriptions
from connector.adapters.admin import Admin, topics_of
from connector.adapters.registry import SchemaRegistry
from connector.adapters.schema_files import by_topic
from connector.cli.provision import metrics_topics
from connector.config import load
from connector.local.kafka import Kafka
from connector.local.registry import LocalRegistry

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


class Rig:
    """One broker, given by KAFKA_BOOTSTRAP_SERVERS or started here, and a registry."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        self.kafka = given or self._stack.enter_context(Kafka(heap_mb=1024)).bootstrap
        self.registry = self._stack.enter_context(LocalRegistry()).url
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()


class Child:
    """A process that answers lines with lines of JSON."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def ask(self, line: Any) -> dict[str, Any]:
        self.tell(line)
        return self.hear()

    def tell(self, line: Any) -> None:
        self.process.stdin.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended")
        return json.loads(line)

    def close(self) -> None:
        end(self.process)
        self.process.stdin.close()
        self.process.stdout.close()


class Run:
    """One pipeline between a blaster and a reader, on topics of its own.

    Args:
        program: what carries the frames: ``connector``, or the name of a script of the benchmark.
        departments: over how many the series are spread; None for the account and as few as are needed.
        every: of so many records the reader looks into one.
        config: settings of the connector that differ from its defaults.
    """

    def __init__(
        self,
        rig: Rig,
        program: str = "connector",
        *,
        series: int = 108,
        departments: int | None = None,
        every: int = 10,
        config: dict[str, Any] | None = None,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self._rig = rig
        self.program = program
        self.series = series
        self.departments = departments
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.folder = Path(self._folder.name)
        self.prefix = f"b{uuid.uuid4().hex[:10]}"
        self.topic = f"{self.prefix}.metrics"
        self._environment = {**os.environ, **(environment or {})}
        self.blaster = Child("bench.blaster", str(series), str(departments or 0))
        self.url = f"ws://127.0.0.1:{self.blaster.hear()['port']}/stream"
        self._configure(config or {})
        self._provision()
        self.reader = Child("bench.reader", rig.kafka, self.topic, str(every))
        self.reader.ask("count")
        command = ["connector", "run", "--config", str(self.config_file)]
        if program != "connector":
            command = [f"bench.scripts.{program}", self.url, rig.kafka, self.topic, str(series), *arguments]
        self.log = (self.folder / "log").open("w")
        self.started = time.time()
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command], stderr=self.log, stdout=self.log, cwd=ROOT, env=self._environment
        )
        self._await_subscriptions()

    def _await_subscriptions(self, seconds: float = 120) -> None:
        """Until every series is subscribed; a program that ends, or takes too long, is told by its log."""
        self.blaster.tell({"wait": self.series})
        deadline = time.monotonic() + seconds
        while not select.select([self.blaster.process.stdout], [], [], 0.2)[0]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "log").read_text()[-2000:]
                self.close()
                raise RuntimeError(f"not subscribed: {log}")
        self.blaster.hear()

    def _configure(self, config: dict[str, Any]) -> None:
        token = self.folder / "token"
        token.write_text("token")
        token.chmod(0o600)
        settings = {
            "account": "bench",
            "source": {
                "url": self.url,
                "token_file": str(token),
                "allow_plain_loopback": True,
                "subscribe_rate": 20000,
                "compression": False,
            },
            "subscriptions": subscriptions(self.series, self.departments),
            "kafka": {
                "bootstrap_servers": self._rig.kafka,
                "partitions": 12,
                "replication_factor": 1,
                "min_insync_replicas": 1,
            },
            "topics": {"prefix": self.prefix},
            "registry": {"urls": [self._rig.registry]},
            "http": {"port": 0},
            "guarantee": "best-effort",
            "log": {"format": "json", "level": "warning"},
        }
        merge(settings, config)
        self.config_file = self.folder / "connector.yaml"
        self.config_file.write_text(yaml.safe_dump(settings))

    def _provision(self) -> None:
        config = load(self.config_file, {})
        metrics = metrics_topics(config)
        Admin(config.kafka, strict=False).provision(topics_of(config, metrics))
        with SchemaRegistry(config.registry) as registry:
            registry.register_all(by_topic(config.names, metrics))

    # What is measured.

    def burst(self, count: int) -> dict[str, float]:
        """So many frames as fast as they are taken: updates a second until the last one is visible, and the cost."""
        done = self.finish(self.begin(count))
        return {
            "updates_per_second": done["sent"] / (done["last"] - done["began"]),
            "cpu_us_per_update": done["cpu"] / done["sent"] * 1e6,
            "peak_rss_mb": done["peak_rss_mb"],
            "sent": done["sent"],
        }

    def begin(self, count: int) -> tuple[int, float]:
        """Let the blaster send; what `finish` wants to know of the time before."""
        before = self.reader.ask("count")["count"], cpu_seconds(self.process.pid)
        self.blaster.tell({"send": count})
        return before

    def finish(self, before: tuple[int, float]) -> dict[str, float]:
        """Wait until all that `begin` sent is visible."""
        sent = self.blaster.hear()
        seen = self.await_count(before[0] + sent["sent"])
        return {
            "sent": sent["sent"],
            "began": sent["began"],
            "last": seen["last"],
            "cpu": cpu_seconds(self.process.pid) - before[1],
            "peak_rss_mb": rss_mb(self.process.pid, "VmHWM"),
        }

    def paced(self, rate: float, seconds: float) -> dict[str, float]:
        """A steady rate: how old values are when a read_committed reader has them, milliseconds."""
        before = self.reader.ask("reset")["count"]
        cpu = cpu_seconds(self.process.pid)
        sent = self.blaster.ask({"rate": rate, "seconds": seconds})
        cpu = cpu_seconds(self.process.pid) - cpu
        seen = self.await_count(before + sent["sent"])
        return {
            "asked": rate,
            "sent_per_second": sent["sent"] / (sent["ended"] - sent["began"]),
            "updates_per_second": sent["sent"] / (seen["last"] - sent["began"]),
            "p50_ms": seen.get("p50", 0.0),
            "p95_ms": seen.get("p95", 0.0),
            "p99_ms": seen.get("p99", 0.0),
            "cores": cpu / seconds,
            "rss_mb": rss_mb(self.process.pid),
            "sent": sent["sent"],
        }

    def await_count(self, count: int, seconds: float = 60) -> dict[str, Any]:
        """Until the reader has seen so many records."""
        deadline = time.monotonic() + seconds
        while (seen := self.reader.ask("count"))["count"] < count:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"{seen['count']} of {count} records: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        return seen

    def transactions(self) -> int:
        """The number of the newest batch that the reader looked into."""
        return int(self.reader.ask("count")["batch"])

    def verify(self) -> bool:
        """Stop the connector and audit what it wrote."""
        end(self.process)
        command = [sys.executable, "-m", "connector", "verify", "--config", str(self.config_file), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode not in (0, 10):
            raise RuntimeError(done.stderr)
        return bool(json.loads(done.stdout)["clean"])

    def close(self) -> None:
        end(self.process)
        self.blaster.close()
        self.reader.close()
        self.log.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def end(process: subprocess.Popen[Any]) -> None:
    """SIGTERM, and SIGKILL for what does not hear it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    """Other settings win, section by section."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int, what: str = "VmRSS") -> float:
    """Memory of a process; VmHWM: the most that it has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))

"""What happens in the recorded hour, and the records that it leaves in the topics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from connector.adapters.framing import Decoder, Encoder
from connector.adapters.schema_files import schema_text
from connector.domain.metrics import METRICS, WINDOWS
from connector.domain.model import Series
from connector.domain.topics import Topics
from tests.sim.broker import Broker
from tests.sim.controls import CONTROLS
from tests.sim.replica import ACCOUNT, SCHEMAS, Replica, virtual_time
from tests.sim.settings import Settings
from tests.sim.world import START_US, World

from .source import LONG_IDS, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20
PREFIX = "zendesk.chat"
RELEASE = "0.1.0"
"""The version that the recorded connector names; fixed, so that a release changes no recording."""
PARTITIONS = 4
MONDAY_US = 1_793_610_000_000_000
"""2026-11-02 09:00 UTC."""
TOPICS = Topics(account=ACCOUNT, prefix=PREFIX)
IDS = {name: number for number, name in enumerate(SCHEMAS, 1)}
"""Schema ids in the recording; the second version of MetricUpdate comes after them."""
SECOND = len(IDS) + 1
DEPARTMENTS = (None, 1, 2, 3, *LONG_IDS)
CLOSED = 3
"""The department that is no longer followed after a while."""
MISSED = Series("chats", "missed_chats", 60, 1)
"""The series that is left out of the configuration for a minute."""

LAST = Series("agents", "agents_invisible", None, max(LONG_IDS))
"""The series whose gap is still open when the hour ends."""

SETTINGS = Settings(
    frames=(), toggles=False, snapshots=True, partitions=PARTITIONS, shards=1, heartbeat=5.0, min_interval=0.5,
    max_records=1000, room=100_000, probe_interval=1.0, transaction_timeout=15.0, interval=0.0, faults_until=0.0,
    faults=0, replicas=2, verify=True, late=0.0, lossy=0.0, wandering=0.0, malformed=0.0, latency=0.0,
)  # fmt: skip


class Recorded(NamedTuple):
    """One committed record. ``transaction``: number of its transaction, from 1."""

    transaction: int
    topic: str
    partition: int
    key: str
    timestamp_ms: int
    headers: list[tuple[str, bytes]]
    value: bytes | None


def second_version() -> str:
    """MetricUpdate as a later version might be: one more field, nullable, at the end."""
    schema = json.loads(schema_text("metric-update"))
    doc = "Name of the department when the value was received; null = all departments, or not known"
    schema["fields"].append({"name": "department_name", "type": ["null", "string"], "doc": doc, "default": None})
    return json.dumps(schema, indent=2) + "\n"


def schemas() -> dict[int, str]:
    """The text of every schema of the recording, by id."""
    return {number: schema_text(name) for name, number in IDS.items()} | {SECOND: second_version()}


class Connector(Replica):
    """A replica as it is released."""

    topics = TOPICS
    headers = "minimal"
    version = RELEASE
    decode = Decoder(schemas().__getitem__)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.machine.wall_step_us = MONDAY_US - START_US
        self.encoders = {name: Encoder(name, number) for name, number in IDS.items()}


class LaterConnector(Connector):
    """A replica of a version to come, which writes the second version of MetricUpdate."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        encode = Encoder("metric-update", SECOND, second_version())
        departments = self.endpoint.source.account.departments

        def named(value: dict[str, Any]) -> bytes:
            department = departments.get(value["department_id"])
            return encode({**value, "department_name": None if department is None else department.name})

        self.encoders["metric-update"] = named


class Hour:
    """The hour; `run` gives its records."""

    def __init__(self, seed: int = SEED) -> None:
        self.world = World(seed)
        self.broker = Broker(self.world)
        self.source = Source(self.world, seed)
        self.series = tuple(
            Series(metric.family, metric.key, window, department)
            for department in DEPARTMENTS
            for metric in METRICS
            for window in (WINDOWS if metric.windowed else (None,))
        )

    def run(self) -> list[Recorded]:
        """Everything that was committed, in the order of the transactions."""
        with virtual_time(self.world):
            self._happen()
        return list(self._records())

    def _happen(self) -> None:
        first, second = self._start(Connector, "connector-0"), self._start(Connector, "connector-1")
        self._at(1, self._own, first)
        self._at(30, self.source.thaw)
        self._at(600, self._refuse, 20.0)
        self._at(900, self.source.put, Series("chats", "incoming_chats", None, 2), '"three"')
        self._at(960, self.source.garble)
        self._at(1020, self.source.put, Series("chats", "satisfaction_bad", 60, max(LONG_IDS)), "null")
        self._at(1200, first.machine.kill)
        self._at(1206, self._own, second)
        self._at(1500, self._configure, second, lambda one: one != MISSED)
        self._at(1560, self._configure, second, lambda one: True)
        self._at(1800, self._configure, second, lambda one: one.department_id != CLOSED)
        self._at(2400, self._stop, second)
        self.world.run(2410)
        self.series = tuple(one for one in self.series if one.department_id != CLOSED)
        third = self._start(LaterConnector, "connector-1")
        self._at(2412, self._own, third)
        self._at(3000, self._refuse, 2.0)
        self._at(3500, self.source.put, LAST, '"n/a"')
        self.world.run(3600)
        for one in (first, second, third):
            assert one.error is None, one.error
            one.machine.kill()

    # Events.

    def _at(self, second: float, act: Any, *args: Any) -> None:
        self.world.at(second, None, act, args)

    def _start(self, kind: type[Connector], owner: str) -> Connector:
        replica = kind(self.world, SETTINGS, self.broker, self.source, owner, CONTROLS["none"]())
        replica.start(self.series)
        return replica

    @staticmethod
    def _own(replica: Connector) -> None:
        replica.machine.call_soon(replica.membership.assign, 0)

    @staticmethod
    def _stop(replica: Connector) -> None:
        replica.machine.call_soon(replica.supervisor.stop)

    def _configure(self, replica: Connector, wanted: Any) -> None:
        replica.machine.call_soon(replica.supervisor.change, tuple(filter(wanted, self.series)))

    def _refuse(self, seconds: float) -> None:
        """The source breaks every connection and takes none for so long."""
        self.source.refusing = True
        self.source.cut()
        self.world.later(seconds, setattr, self.source, "refusing", False)

    # Records.

    def _records(self) -> Iterator[Recorded]:
        found = [
            (commit, topic, partition, offset, record)
            for (topic, partition), log in self.broker.partitions.items()
            for offset, (commit, record) in enumerate(log.history())
        ]
        numbers = {commit: number for number, commit in enumerate(sorted({one[0] for one in found}), 1)}
        for commit, topic, partition, _, record in sorted(found, key=lambda one: one[:4]):
            key, value, timestamp_ms, headers = record
            yield Recorded(numbers[commit], topic, partition, key.decode(), timestamp_ms, headers or [], value)

"""One process of the connector: the product's own parts, wired to a simulated Kafka, group and source."""

from __future__ import annotations

import asyncio
import random
from contextlib import contextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from connector.adapters import websocket
from connector.adapters.websocket import run_session
from connector.domain.batcher import Batcher
from connector.domain.model import Series
from connector.domain.records import Recorder
from connector.domain.topics import Topics
from connector.errors import ConnectorError
from connector.protocol.session import Session
from connector.runtime import follower as following
from connector.runtime import supervisor as supervision
from connector.runtime.backoff import Backoff
from connector.runtime.budget import Budget
from connector.runtime.follower import Follower
from connector.runtime.pipeline import Pipeline
from connector.runtime.supervisor import Supervisor

from .client import Producer
from .network import Network
from .reading import Scan
from .world import Machine, Thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .controls import Control
    from .scenario import Settings
    from .world import World

ACCOUNT = "acme"
TOPICS = Topics(account=ACCOUNT, prefix="z")
WITHOUT_LATEST = Topics(account=ACCOUNT, prefix="z", latest=None)
SCHEMAS = ("metric-update", "source-offset", "heartbeat", "gap", "dead-letter")


@contextmanager
def virtual_time(world: World) -> Iterator[None]:
    """The modules that read the machine's clock themselves read the simulated machine's instead."""
    clock = SimpleNamespace(
        monotonic=lambda: asyncio.get_running_loop().monotonic(),
        time_ns=lambda: asyncio.get_running_loop().wall_us() * 1000,
    )
    names = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=world.unique("s")))
    before = websocket.time, supervision.time, following.time, following.uuid
    websocket.time = supervision.time = following.time = clock
    following.uuid = names
    try:
        yield
    finally:
        websocket.time, supervision.time, following.time, following.uuid = before


class Endpoint:
    """Where the sessions of one process come from."""

    url = "sim"

    def __init__(self, source: Any, machine: Machine, probe_interval: float) -> None:
        self.source = source
        self._machine = machine
        self.probe_interval = probe_interval

    async def open(self, token: str, session_id: str) -> Any:
        return await self.source.connect(self._machine, session_id)


class Membership:
    """What one process believes of the group: the `Ownership` of its supervisor."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.owned: frozenset[int] = frozenset()
        self.lost: frozenset[int] = frozenset()
        self.changed = asyncio.Event()
        self.error = None
        self.joined = False
        self.hand_over: list[Any] = []

    def start(self):
        self.joined = True

    def released(self):
        waiting, self.hand_over = self.hand_over, []
        for then in waiting:
            then()

    async def close(self):
        self.joined = False
        self.owned = frozenset()
        self.released()

    def assign(self, shard: int) -> None:
        self.owned |= {shard}
        self.settle()

    def settle(self) -> None:
        """The group is together again: what was lost and not given back is somebody else's."""
        self.lost = frozenset()
        self.changed.set()

    def revoke(self, shard: int, *, lost: bool, then: Any = None) -> None:
        """Ask for a shard back, or say that somebody else has it already."""
        self.owned -= {shard}
        if lost:
            self.lost |= {shard}
        else:
            self.hand_over.append(then)
        self.changed.set()


def _same(value: Any) -> Any:
    return value


class Replica:
    """A process from its start to its end."""

    topics = TOPICS
    headers = "none"
    version = "0"
    encoders: ClassVar[dict[str, Any]] = dict.fromkeys(SCHEMAS, _same)
    decode = staticmethod(_same)

    def __init__(
        self, world: World, settings: Settings, broker: Any, source: Any, owner: str, control: Control
    ) -> None:
        self.machine = Machine(world, world.unique(f"{owner}."))
        self.owner = owner
        self.settings = settings
        if not settings.latest:
            self.topics = WITHOUT_LATEST
        self.broker = broker
        self.control = control
        self.network = Network(self.machine, broker)
        self.publishers: dict[int, Any] = {}
        self.endpoint = Endpoint(source, self.machine, settings.probe_interval)
        self.membership = Membership(self.machine)
        self.pipeline = Pipeline(
            partitions=settings.partitions, shards=settings.shards, observers=[partial(_observe, self.machine)]
        )
        self.follower: Follower | None = None
        self.supervisor: Supervisor | None = None
        self.error: BaseException | None = None
        self.ended = False

    def start(self, series: tuple[Any, ...]) -> None:
        """Run from now on."""
        self.machine.call_soon(lambda: self.machine.create_task(self._main(series)))

    async def _main(self, series: tuple[Any, ...]) -> None:
        rng = random.Random(self.machine.world.rng.random())
        self.follower = Follower(
            self.pipeline,
            self._connect,
            budget=Budget(60, clock=self.machine.monotonic),
            backoff=Backoff(0.2, 3.0, rng),
            auth_backoff=30.0,
        )
        self.supervisor = Supervisor(
            series,
            pipeline=self.pipeline,
            ownership=self.membership,
            make_publisher=partial(self._publisher, rng),
            follower=self.follower,
            resolve=None,
            refresh=None,
            timeout=10.0,
        )
        try:
            await self.supervisor.run()
        except Exception as error:  # noqa: BLE001 - the oracle judges it
            if not self.machine.dead:
                self.error = error
        finally:
            if not self.machine.dead:
                self.ended = True
                self.machine.world.trace("%s: ended %r", self.machine.name, self.error)

    async def rotate(self) -> None:
        """Another token came; if it is refused, the open session goes on."""
        assert self.follower is not None
        with suppress(ConnectorError):
            await self.follower.rotate()

    def _publisher(self, rng: random.Random, shard: int) -> Any:
        settings = self.settings
        machine = self.machine
        publisher = self.control.publisher(
            shard,
            sink=self._sink(shard),
            recorder=Recorder(
                self.topics,
                account=ACCOUNT,
                owner=self.owner,
                version=self.version,
                shard=shard,
                shards=settings.shards,
                partitions=settings.partitions,
                latest_partitions=settings.partitions,
                heartbeat_ms=int(settings.heartbeat * 1000),
                headers=self.headers,
            ),
            batcher=Batcher(
                min_interval=settings.min_interval,
                max_records=settings.max_records,
                max_bytes=1_000_000,
                heartbeat=settings.heartbeat,
            ),
            source=self.pipeline,
            emit=self.pipeline.handle,
            backoff=Backoff(0.2, 3.0, rng),
            owner=self.owner,
            clock=machine,
            room=settings.room,
        )
        self.control.adapt(publisher)
        self.publishers[shard] = publisher
        return publisher

    def _sink(self, shard: int) -> Any:
        settings = self.settings
        thread = Thread(self.machine)
        recovery = self.control.recovery(
            {},
            self.decode,
            account=ACCOUNT,
            topics=self.topics,
            metrics=self.topics.metrics_all([Series("chats", "incoming_chats")]),
            shard=shard,
            shards=settings.shards,
            partitions=settings.partitions,
            latest_partitions=settings.partitions,
            underway=10.0,
            timeout=20.0,
            make_scan=partial(Scan, broker=self.broker, network=self.network, thread=thread),
        )
        return self.control.sink(
            {"transactional.id": self.topics.transactional_id(shard)},
            self.encoders,
            recovery,
            transaction_timeout=settings.transaction_timeout,
            slow_commit=1.0,
            rebuild=self.control.rebuild,
            make_producer=partial(Producer, network=self.network, thread=thread),
            executor=thread,
            monotonic=self.machine.monotonic,
        )

    async def _connect(self, session_id: str, emit: Any, opened: Any, take_over: Any) -> Any:
        make_session = partial(_session, session_id, self.pipeline.followed)
        return await run_session(
            self.endpoint, "token", session_id, make_session, emit, opened=opened, take_over=take_over
        )

    @property
    def alive(self) -> bool:
        """It runs, frozen or not."""
        return not self.machine.dead and not self.ended

    def settled(self, shards: Any) -> bool:
        """It publishes these shards, nothing waits, and its session is whole."""
        if not self.pipeline.followed:
            return self._drained(shards)
        sockets = [socket for socket in self.endpoint.source.sockets if socket.machine is self.machine]
        if len(sockets) != 1:
            return False
        socket = sockets[0]
        if socket.half_open or socket._heard:
            return False
        if set(self.pipeline.followed) - set(socket.subscribed):
            return False
        return self._drained(shards)

    def _drained(self, shards: Any) -> bool:
        attached = self.pipeline._publishers
        return all(
            shard in attached and attached[shard]._log.owner_epoch and not attached[shard].ledger.queue
            for shard in shards
        )


def _session(session_id: str, series: tuple[Any, ...], now: float) -> Session:
    return Session(session_id, series, now=now)


def _observe(machine: Machine, event: Any) -> None:
    if machine.world.lines is not None:
        machine.world.trace("%s: %s", machine.name, event)

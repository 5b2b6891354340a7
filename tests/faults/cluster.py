"""The cluster that is broken on purpose: one controller, three brokers, and each replica's own way to them.

Each broker has four listeners: between brokers, for the auditor (both direct), and one for each of the two
replicas behind a proxy of its own, so that one replica can be cut off while the rest of the world sees Kafka.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from faults.proxy import HOST, Network

from connector.errors import LocalError
from connector.local.kafka import Kafka
from connector.local.process import free_port
from connector.local.registry import LocalRegistry

if TYPE_CHECKING:
    from connector.local.kafka import Node

REPLICAS = ("first", "second")
PROTOCOLS = ",".join(f"{name}:PLAINTEXT" for name in ("CONTROLLER", "INTERNAL", "CLIENT", "FIRST", "SECOND"))
PROPERTIES = {
    "listener.security.protocol.map": PROTOCOLS,
    # The sweep for transactions that timed out; every 10 s by default.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}


class ProxiedKafka(Kafka):
    """Brokers with two more listeners, advertised at their proxies."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.ways: dict[str, dict[int, Way]] = {replica: {} for replica in REPLICAS}
        super().__init__(brokers=3, separate_controller=True, properties=PROPERTIES, heap_mb=384)

    def _write_properties(self, node: Node) -> None:
        super()._write_properties(node)
        if "broker" not in node.roles:
            return
        for replica in REPLICAS:
            self.ways[replica][node.id] = Way(self._network, free_port())
        lines = [
            f"listeners={self._listeners(node, node.ports.client, advertised=False)}",
            f"advertised.listeners={self._listeners(node, node.ports.advertised, advertised=True)}",
        ]
        with node.properties_file.open("a") as file:
            file.write("\n".join(lines) + "\n")

    def _listeners(self, node: Node, client: int, *, advertised: bool) -> str:
        ports = {"INTERNAL": node.ports.internal, "CLIENT": client}
        for replica in REPLICAS:
            way = self.ways[replica][node.id]
            ports[replica.upper()] = way.proxy.port if advertised else way.port
        return ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())


class Way:
    """A broker's listener for one replica, and the proxy in front of it."""

    def __init__(self, network: Network, port: int) -> None:
        self.port = port
        self.proxy = network.proxy(port, kafka=True)


class Cluster:
    """Kafka, the registry and every proxy; a context manager."""

    def __init__(self) -> None:
        self.network = Network()
        self.registry = LocalRegistry()
        self.kafka: ProxiedKafka | None = None

    def __enter__(self) -> Self:
        self.network.__enter__()
        self.registry.start()
        self.kafka = ProxiedKafka(self.network)
        try:
            self.kafka.start(seconds=240)
        except LocalError as error:
            # Starting a server proves nothing, so it may be tried twice; a test may not.
            print(f"\nstarted a second time, since: {error}")
            self.kafka = ProxiedKafka(self.network).start(seconds=240)
        return self

    def __exit__(self, *_: object) -> None:
        if self.kafka is not None:
            self.kafka.stop()
        self.registry.stop()
        self.network.__exit__()

    # Addresses.

    @property
    def direct(self) -> str:
        """`bootstrap.servers` of those who only look."""
        return self.kafka.bootstrap

    def bootstrap(self, replica: str) -> str:
        """`bootstrap.servers` of one replica."""
        return ",".join(f"{HOST}:{proxy.port}" for proxy in self.proxies(replica))

    def proxies(self, *replicas: str) -> list:
        """The proxies between these replicas (all by default) and the brokers."""
        return [way.proxy for one in replicas or REPLICAS for way in self.kafka.ways[one].values()]

    # Brokers.

    def outage(self, seconds: float) -> None:
        """Kill all brokers, and start them again so much later."""
        for broker in self.kafka.brokers:
            broker.kill()
        time.sleep(seconds)
        for broker in self.kafka.brokers:
            broker.start()

    def heal(self) -> None:
        """Every proxy honest, every broker up and in sync."""
        for proxy in self.proxies():
            proxy.heal()
        self.registry.faults.status = None
        for node in self.kafka.nodes:
            if node.process.started:
                node.resume()
            node.start()
        self.wait_in_sync()

    def wait_in_sync(self, seconds: float = 180) -> None:
        """Every partition of every topic has all its replicas."""
        admin = AdminClient({"bootstrap.servers": self.direct, "log_level": 0})
        deadline = time.monotonic() + seconds
        while not in_sync(admin):
            if time.monotonic() > deadline:
                raise AssertionError(f"partitions are not in sync after {seconds} s")
            time.sleep(0.3)

    def coordinator(self, transactional_id: str) -> Node:
        """The broker that coordinates the transactions of this id."""
        partition = abs(java_hash(transactional_id)) % 3
        topics = AdminClient({"bootstrap.servers": self.direct, "log_level": 0}).list_topics(timeout=20).topics
        return self.kafka.broker(topics["__transaction_state"].partitions[partition].leader)


def in_sync(admin: AdminClient) -> bool:
    with contextlib.suppress(KafkaException):
        metadata = admin.list_topics(timeout=5)
        partitions = [one for topic in metadata.topics.values() for one in topic.partitions.values()]
        return len(metadata.brokers) == 3 and all(
            one.leader > 0 and set(one.isrs) == set(one.replicas) for one in partitions
        )
    return False


def java_hash(text: str) -> int:
    """`String.hashCode`, by which Kafka finds the coordinator."""
    code = 0
    for letter in text:
        code = (31 * code + ord(letter)) & 0xFFFFFFFF
    return code - (1 << 32) if code >= 1 << 31 else code

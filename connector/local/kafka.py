"""A real Kafka on this machine: one broker, or a cluster whose brokers can be killed and paused."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from connector.errors import LocalError
from connector.local import maven
from connector.local.process import HOST, Process, free_port, listening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from confluent_kafka.admin import AdminClient

CONTROLLER_ID = 100
_LOGGING = Path(__file__).with_name("log4j2.properties")
_JVM = ("-XX:ActiveProcessorCount=2", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={_LOGGING}")


@dataclass(frozen=True)
class Ports:
    """The loopback ports of one node."""

    controller: int
    internal: int
    """Between brokers, never behind a proxy."""
    client: int
    advertised: int
    """What clients are told: `client`, or the port of a proxy in front of it."""


class Node:
    """One Kafka process: broker, controller or both."""

    def __init__(self, node_id: int, roles: str, ports: Ports, folder: Path, heap_mb: int) -> None:
        self.id = node_id
        self.roles = roles
        self.ports = ports
        self.folder = folder
        self.properties_file = folder / "node.properties"
        folder.mkdir(parents=True)
        jvm = _command(f"-Xmx{heap_mb}m", *_JVM)
        self.process = Process(
            f"kafka node {node_id}",
            [*jvm, "kafka.Kafka", str(self.properties_file)],
            log=folder / "server.log",
            folder=folder,
        )

    def format(self, cluster_id: str) -> None:
        """Prepare the data folder; LocalError if Kafka refuses the properties."""
        tool = _command("-Xmx128m", "-XX:TieredStopAtLevel=1", *_JVM, "kafka.tools.StorageTool", "format")
        # One word: an id may begin with a dash.
        command = [*tool, f"--cluster-id={cluster_id}", "-c", str(self.properties_file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
            reason = next((line for line in lines if "Exception" in line), lines[-1])
            raise LocalError(f"kafka node {self.id} cannot be formatted: {reason}")

    def start(self) -> None:
        """Start it, also after `stop` or `kill`: its data is kept. Does not wait until it is ready."""
        self.process.start()

    def stop(self) -> None:
        """Controlled shutdown."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL: the cluster learns of it by the session timeout or the closed connections."""
        self.process.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self.process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self.process.resume()


class Kafka:
    """A KRaft cluster with its data in a temporary folder.

    `properties` are added to every node's and win. `advertise` is called with a broker's id and client port
    and answers the port that clients are told, so that a proxy can stand between; brokers talk directly.
    `client` is librdkafka configuration for the readiness check, needed if `properties` ask clients to
    authenticate.
    """

    def __init__(
        self,
        *,
        brokers: int = 1,
        separate_controller: bool = False,
        properties: Mapping[str, str] | None = None,
        advertise: Callable[[int, int], int] | None = None,
        client: Mapping[str, str] | None = None,
        heap_mb: int = 512,
    ) -> None:
        maven.java()
        maven.kafka_jars()
        self.folder = Path(tempfile.mkdtemp(prefix="kafka-"))
        self._extra = dict(properties or {})
        self._client = dict(client or {})
        self._advertise = advertise or (lambda _node, port: port)
        self._heap_mb = heap_mb
        ids = range(1, brokers + 1)
        self.brokers = [self._node(i, "broker" if separate_controller or i > 1 else "broker,controller") for i in ids]
        self.controller = self._node(CONTROLLER_ID, "controller") if separate_controller else self.brokers[0]

    @property
    def bootstrap(self) -> str:
        """The `bootstrap.servers` of clients."""
        return ",".join(f"{HOST}:{node.ports.advertised}" for node in self.brokers)

    @property
    def nodes(self) -> list[Node]:
        """Every node, the controller first."""
        return [self.controller, *(node for node in self.brokers if node is not self.controller)]

    def broker(self, node_id: int) -> Node:
        """The broker with this id, from 1."""
        return self.brokers[node_id - 1]

    def start(self, *, seconds: float = 120) -> Self:
        """Start all nodes and wait until every broker is seen by a client; LocalError names a log otherwise."""
        try:
            self._start(seconds)
        except BaseException:
            self._kill()
            raise
        return self

    def _start(self, seconds: float) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        for node in self.nodes:
            self._write_properties(node)
            node.format(cluster_id)
        for node in self.nodes:
            node.start()
        self.wait_until_ready(seconds=seconds)

    def wait_until_ready(self, *, seconds: float = 120) -> None:
        """Wait until every started broker is in the cluster's metadata; LocalError after `seconds`."""
        started = [node for node in self.nodes if node.process.started]
        expected = {node.id for node in started if "broker" in node.roles}
        ports = [node.ports.client for node in started if node.id in expected]
        admin = self._admin()

        def ready() -> bool:
            for node in started:
                node.process.require_alive()
            # A broker that was killed stays in the metadata for a while, so its port is asked too.
            return all(listening(port) for port in ports) and expected <= _registered(admin)

        started[0].process.wait_until(ready, seconds=seconds)

    def stop(self) -> None:
        """Kill every node and delete the data."""
        self._kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _node(self, node_id: int, roles: str) -> Node:
        client = free_port()
        advertised = self._advertise(node_id, client) if "broker" in roles else client
        ports = Ports(controller=free_port(), internal=free_port(), client=client, advertised=advertised)
        return Node(node_id, roles, ports, self.folder / f"node-{node_id}", self._heap_mb)

    def _kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def _admin(self) -> AdminClient:
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415  (slow to import, needed here only)

        # Refused connections are expected while a broker starts.
        quiet = {"log_level": 0, "reconnect.backoff.max.ms": 200}
        return AdminClient({"bootstrap.servers": self.bootstrap, **quiet, **self._client})

    def _write_properties(self, node: Node) -> None:
        everything = {**self._common(), **_own(node), **self._extra}
        lines = [f"{name}={value}" for name, value in everything.items()]
        node.properties_file.write_text("\n".join(lines) + "\n")

    def _common(self) -> dict[str, str]:
        copies = min(3, len(self.brokers))
        in_sync = max(1, copies - 1)
        partitions = 3
        return {
            "controller.quorum.voters": f"{self.controller.id}@{HOST}:{self.controller.ports.controller}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "INTERNAL",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,CLIENT:PLAINTEXT",
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(in_sync),
            "num.partitions": str(partitions),
            "offsets.topic.num.partitions": str(partitions),
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.num.partitions": str(partitions),
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(in_sync),
            "share.coordinator.state.topic.replication.factor": str(copies),
            "share.coordinator.state.topic.min.isr": str(in_sync),
            "group.initial.rebalance.delay.ms": "0",
        }


def _registered(admin: AdminClient) -> set[int]:
    from confluent_kafka import KafkaException  # noqa: PLC0415

    with contextlib.suppress(KafkaException):
        return set(admin.list_topics(timeout=1).brokers)
    return set()


def _own(node: Node) -> dict[str, str]:
    listeners, advertised = [], []
    if "broker" in node.roles:
        listeners += [f"INTERNAL://{HOST}:{node.ports.internal}", f"CLIENT://{HOST}:{node.ports.client}"]
        advertised += [f"INTERNAL://{HOST}:{node.ports.internal}", f"CLIENT://{HOST}:{node.ports.advertised}"]
    if "controller" in node.roles:
        listeners.append(f"CONTROLLER://{HOST}:{node.ports.controller}")
        advertised.append(f"CONTROLLER://{HOST}:{node.ports.controller}")
    return {
        "process.roles": node.roles,
        "node.id": str(node.id),
        "log.dirs": str(node.folder / "data"),
        "listeners": ",".join(listeners),
        "advertised.listeners": ",".join(advertised),
    }


def _command(*arguments: str) -> list[str]:
    return [maven.java(), "-cp", f"{maven.kafka_jars()}/*", *arguments]

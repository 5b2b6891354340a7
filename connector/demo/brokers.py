"""The brokers that a demo can run on, and what each of them does not show."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from connector.domain.model import Series

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import ExitStack

    from connector.domain.topics import Topics

PARTITIONS: Final = 4


class BrokerKind(StrEnum):
    """What ``--broker`` may say."""

    embedded = "embedded"
    mock = "mock"
    kafka = "kafka"


@dataclass(frozen=True)
class Broker:
    """A broker that runs."""

    name: str
    """noida-db | librdkafka-mock | apache-kafka | existing"""
    bootstrap: str
    caveat: str
    """What it is and what it does not show, for people."""
    embedded: bool
    """It takes one owner of all shards, without a consumer group, and the guarantee that says so."""
    borrowed: bool = False
    """It is not ours: what the demo made there goes at the end."""


def chosen(kind: BrokerKind) -> BrokerKind:
    """The broker that the kind means on this machine: without its package, the embedded one is the mock cluster."""
    installed = importlib.util.find_spec("noida_db") is not None
    return BrokerKind.mock if kind is BrokerKind.embedded and not installed else kind


def start(kind: BrokerKind, bootstrap: str | None, names: Topics, stack: ExitStack) -> Broker:
    """Start the broker, to be stopped by the stack; ``bootstrap``: use that cluster instead.

    Raises:
        LocalError: it cannot be started on this machine.
    """
    if bootstrap is not None:
        return _existing(bootstrap, names)
    if kind is BrokerKind.kafka:
        return _kafka(stack)
    if kind is BrokerKind.mock:
        return _mock(names, stack)
    return _noida(stack)


def _noida(stack: ExitStack) -> Broker:
    from connector.local.noida import Noida  # noqa: PLC0415 - only the broker in use is loaded

    noida = Noida()
    stack.callback(noida.stop)
    noida.start()
    return Broker("noida-db", noida.bootstrap, noida.describe, embedded=True)


def _kafka(stack: ExitStack) -> Broker:
    from connector.local.kafka import Kafka  # noqa: PLC0415

    kafka = Kafka()
    stack.callback(kafka.stop)
    kafka.start()
    caveat = (
        "a real Apache Kafka, one broker with its data in a temporary folder: transactions, fencing and the"
        " consumer group are the real ones. It does not show replication, durability or the loss of a broker."
    )
    return Broker("apache-kafka", kafka.bootstrap, caveat, embedded=False)


def _mock(names: Topics, stack: ExitStack) -> Broker:
    from connector.demo.mock import MockCluster  # noqa: PLC0415

    mock = MockCluster()
    stack.callback(mock.close)
    for topic, partitions in _topics(names):
        mock.create_topic(topic, partitions)
    caveat = (
        "librdkafka's mock cluster inside this process, since no other embedded broker is installed here. It shows"
        " the flow only: no fencing, no read_committed (aborted records would be seen), no disk, no groups, at most"
        " 5 MiB kept per partition. For real transactions: --broker kafka (needs Java 17 and Maven)."
    )
    return Broker("librdkafka-mock", mock.bootstrap, caveat, embedded=True)


def _existing(bootstrap: str, names: Topics) -> Broker:
    caveat = (
        f"your cluster. The demo writes to topics of its own there, {names.group.removesuffix('.demo')}.*, one replica"
        " each, and deletes them at the end. It does not show durability: that needs replication_factor 3."
    )
    return Broker("existing", bootstrap, caveat, embedded=False, borrowed=True)


def metrics_topic(names: Topics) -> str:
    """The topic of the updates: by the default template it is the same for every series."""
    return names.metrics(Series("chats", "incoming_chats", None, None))


def _topics(names: Topics) -> Iterable[tuple[str, int]]:
    for topic in (metrics_topic(names), names.gaps, names.dead_letters, names.heartbeats):
        yield topic, PARTITIONS
    for single in (names.latest, names.offsets, names.control):
        if single is not None:
            yield single, 1

"""Who owns which shard: Kafka's own consumer group on the control topic."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException

from connector.errors import SinkRejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from confluent_kafka import TopicPartition

LOOP_STALL: Final = 10.0
"""Seconds without a sign of life from the event loop after which the member stops polling and is dropped."""


class Group:
    """One dynamic member of the group; each partition of the control topic stands for one shard.

    ``owned`` holds the shards of this member, ``lost`` those taken away without asking (another member may publish
    them already) until the next assignment; ``changed`` is set whenever they change.

    Args:
        properties: librdkafka settings of a consumer.
        release: seconds that a revocation waits for the shard to be handed over (see `released`).
    """

    def __init__(
        self, properties: Mapping[str, Any], *, group: str, control: str, session_timeout: float, release: float
    ) -> None:
        self._properties = {
            **properties,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "latest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": int(session_timeout * 1000),
            "heartbeat.interval.ms": int(session_timeout * 250),
            "max.poll.interval.ms": max(15_000, int(session_timeout * 1000)),
            "error_cb": self._on_error,
        }
        self._control = control
        self._release = release
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._handed_over = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="group", daemon=True)
        self._loop_seen = time.monotonic()
        self.owned: frozenset[int] = frozenset()
        self.changed = asyncio.Event()
        self.joined = False
        self.lost: frozenset[int] = frozenset()
        self.error: Exception | None = None

    def start(self) -> None:
        """Join the group on an own thread."""
        self._thread.start()

    async def close(self) -> None:
        """Leave the group at once, so that another replica need not wait for the session timeout."""
        self._handed_over.set()
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 10.0)

    def released(self) -> None:
        """The owner has stopped publishing what was revoked: the rebalance may go on."""
        self._handed_over.set()

    # On the group's thread.

    def _poll(self) -> None:
        try:
            consumer = Consumer(self._properties)
            consumer.subscribe(
                [self._control], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._stop.is_set():
                self._tick()
                if time.monotonic() - self._loop_seen > LOOP_STALL:
                    time.sleep(0.2)
                    continue
                message = consumer.poll(0.2)
                error = None if message is None else message.error()
                if error is not None:
                    self._check(error)
            consumer.close()
        except Exception as error:  # noqa: BLE001 - handed to the supervisor, which ends the process with it
            self._post(self._fail, error)

    def _tick(self) -> None:
        self._post(self._seen)

    def _seen(self) -> None:
        self._loop_seen = time.monotonic()

    def _check(self, error: KafkaError) -> None:
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            raise SinkRejected(f"Kafka: group {self._properties['group.id']}: {error.str()}; grant Read on the group")
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise SinkRejected(f"Kafka: topic {self._control}: {error.str()}; grant Read on it to this principal")
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise SinkRejected(f"Kafka: topic {self._control}: {error.str()}; run zendesk-chat-kafka provision")
        if error.fatal():
            raise KafkaException(error)

    def _on_error(self, error: KafkaError) -> None:
        """Connection trouble is librdkafka's to mend; the group's session decides what it means."""

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._post(self._set, self._shards(partitions), True)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions and not self._stop.is_set():
            self._handed_over.clear()
            self._post(self._set, self._shards(partitions), False)
            self._handed_over.wait(self._release)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._post(self._lose, self._shards(partitions))
        consumer.incremental_unassign(partitions)

    @staticmethod
    def _shards(partitions: list[TopicPartition]) -> frozenset[int]:
        return frozenset(partition.partition for partition in partitions)

    def _post(self, function: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed: the process is ending
            self._stop.set()

    # On the event loop.

    def _set(self, shards: frozenset[int], ours: bool) -> None:  # noqa: FBT001 - posted by position
        self.joined = True
        self.owned = self.owned | shards if ours else self.owned - shards
        if ours:
            self.lost = frozenset()
        self.changed.set()

    def _lose(self, shards: frozenset[int]) -> None:
        self._set(shards, False)
        self.lost |= shards

    def _fail(self, error: Exception) -> None:
        self.error = error
        self.changed.set()


class FixedOwnership:
    """Every shard is ours, always: for the embedded broker of the demo, which has no dependable groups."""

    def __init__(self, shards: int) -> None:
        self.owned = frozenset(range(shards))
        self.changed = asyncio.Event()
        self.changed.set()
        self.joined = True
        self.lost: frozenset[int] = frozenset()
        self.error: Exception | None = None

    def start(self) -> None:
        """Nothing to join."""

    def released(self) -> None:
        """Nothing to hand over."""

    async def close(self) -> None:
        """Nothing to leave."""

"""The transactional sink: one producer, one thread, one transaction at a time."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from connector.adapters.log import kafka_logger
from connector.adapters.producers import Producers
from connector.adapters.reported import INFO, Heard, reason_of, translate
from connector.errors import SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from confluent_kafka import Message

    from connector.adapters.recovery import Recovery
    from connector.domain.model import Progress, Record
    from connector.domain.rows import Hints

SLICE: Final = 5.0
"""Seconds that one blocking call of librdkafka may take before the thread looks around."""

Make = "Callable[[Hints], Iterable[Record]]"


class TransactionalSink:
    """Writes the transactions of one shard. Every method runs its blocking part on the sink's own thread.

    Args:
        properties: librdkafka settings of the producer, ``transactional.id`` included.
        encoders: from schema name to a function that frames and encodes a value.
        slow_commit: seconds; a transactional call that took longer makes the producer suspect.
        rebuild: False only in a negative control of the tests: never replace a suspect producer.
        producers: where this one's errors and statistics are counted.
        make_producer, executor, monotonic: librdkafka, the sink's own thread and the machine's clock, unless a
            simulation brings its own.
    """

    def __init__(
        self,
        properties: Mapping[str, Any],
        encoders: Mapping[str, Callable[[dict[str, Any]], bytes]],
        recovery: Recovery,
        *,
        transaction_timeout: float,
        slow_commit: float,
        rebuild: bool = True,
        producers: Producers | None = None,
        make_producer: Callable[[dict[str, Any]], Producer] = Producer,
        executor: Executor | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._properties = {
            **properties,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "transaction.timeout.ms": int(transaction_timeout * 1000),
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1_048_576,
            "statistics.interval.ms": 500,
            # A connection that broke makes the producer suspect, so it must not be kept quiet.
            "log.connection.close": True,
            "log_level": max(INFO, int(properties.get("log_level", INFO))),
            "logger": Heard(properties.get("logger") or kafka_logger(), self._on_connection),
            "on_delivery": self._on_delivery,
            "error_cb": self._on_error,
            "stats_cb": self._on_statistics,
        }
        self._properties.setdefault("linger.ms", 0)
        self._encoders = encoders
        self._recovery = recovery
        self._timeout = transaction_timeout
        self._slow_commit = slow_commit
        self._rebuild = rebuild
        self._producers = producers or Producers()
        name = f"sink-{self._properties['transactional.id']}"
        self._thread = executor or ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._make_producer = make_producer
        self._monotonic = monotonic
        self._producer: Producer | None = None
        self._suspect: str | None = None
        self._delivered = 0
        self._failed: tuple[KafkaError, str | None] | None = None
        self._hints: Hints = {}
        self._retries = 0

    @property
    def suspect(self) -> str | None:
        """Why the producer must be replaced before the next transaction; None if it need not.

        A transaction's end that librdkafka sent twice, or whose answer was lost, may reach the coordinator late and
        end the next transaction: librdkafka has no KIP-890 part 2. A new producer epoch makes the late one harmless.
        """
        return self._suspect if self._rebuild else None

    async def acquire(self) -> Progress:
        """Fence every earlier producer of the shard, then read its progress back.

        Raises:
            SinkUnavailable: Kafka did not answer in time; try again.
            SinkRejected: the cluster refuses; a person has to act.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._acquire)

    async def commit(self, make: Callable[[Hints], Iterable[Record]]) -> float:
        """Write one transaction; returns the seconds it took. After any error its fate is unknown: `acquire`.

        Raises:
            SinkUnavailable, SinkFenced, SinkRejected
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, make)

    async def close(self) -> None:
        """Drop the producer; an open transaction is left to the fence."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown(wait=False)
        self._producers.forget(self._properties["transactional.id"])

    # On the sink's thread.

    def _acquire(self) -> Progress:
        self._drop()
        producer = self._make_producer(self._properties)
        self._producers.begin()
        deadline = self._monotonic() + self._timeout
        while True:
            try:
                producer.init_transactions(SLICE)
                break
            except (KafkaException, SystemError) as error:
                reason = reason_of(error)
                if not reason.retriable() or self._monotonic() > deadline:
                    own = self._properties["transactional.id"]
                    raise translate(reason, f"init_transactions of transactional id {own}") from error
        progress, self._hints = self._recovery.read()
        self._producer = producer
        self._suspect = None
        self._retries = 0
        return progress

    def _commit(self, make: Callable[[Hints], Iterable[Record]]) -> float:
        producer = self._producer
        if producer is None:
            raise SinkUnavailable("Kafka: no producer; recover first")
        began = self._monotonic()
        self._delivered = 0
        self._failed = None
        try:
            producer.begin_transaction()
            sent = self._produce(producer, make(self._hints))
            handed_over = self._monotonic()
            self._await_delivery(producer, sent)
            self._finish(producer)
        except (KafkaException, SystemError) as error:
            self._drop()
            reason = reason_of(error)
            self._producers.give_up(reason.name())
            raise translate(reason, "transaction") from error
        except BaseException:
            self._drop()
            raise
        ended = self._monotonic()
        # Making the records of a large batch takes its time, too, but that is not Kafka's.
        if ended - handed_over > self._slow_commit:
            self._suspect = f"Kafka took {ended - handed_over:.1f} s for a transaction"
        return ended - began

    def _produce(self, producer: Producer, records: Iterable[Record]) -> int:
        encoders = self._encoders
        produce = producer.produce
        sent = 0
        for topic, partition, key, schema, value, timestamp_ms, headers in records:
            payload = encoders[schema](value) if type(value) is dict else value
            while True:
                try:
                    produce(topic, payload, key, partition, timestamp=timestamp_ms, headers=headers)  # type: ignore[arg-type]
                    break
                except BufferError:
                    producer.poll(0.1)
            sent += 1
        return sent

    def _await_delivery(self, producer: Producer, sent: int) -> None:
        """Every record must be acknowledged: a commit alone succeeds without those that never were accepted."""
        deadline = self._monotonic() + self._timeout
        while self._delivered < sent and self._failed is None:
            if not producer.flush(0.5):
                break
            if self._monotonic() > deadline:
                raise SinkUnavailable(f"Kafka: {sent - self._delivered} of {sent} records not acknowledged in time")
        if self._failed is not None:
            error, topic = self._failed
            if error.code() == KafkaError._PURGE_QUEUE:  # noqa: SLF001
                # librdkafka has given the transaction up: this raises why, and never commits.
                producer.commit_transaction(SLICE)
            self._producers.give_up(error.name())
            raise translate(error, f"delivery to topic {topic}")
        if self._delivered != sent:
            raise SinkUnavailable(f"Kafka: {sent} records sent, {self._delivered} acknowledged")

    def _finish(self, producer: Producer) -> None:
        deadline = self._monotonic() + self._timeout
        while True:
            try:
                producer.commit_transaction(SLICE)
            except KafkaException as error:
                self._suspect = f"commit_transaction: {error.args[0].name()}"
                if not error.args[0].retriable() or self._monotonic() > deadline:
                    raise
            else:
                # A connection that broke meanwhile is told by a log line: hear it before the next transaction.
                producer.poll(0.0)
                return

    def _drop(self) -> None:
        """Let the producer go without waiting for anything it still holds."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()

    # librdkafka's callbacks: they run inside our own calls, on the sink's thread, and must never raise.

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = self._failed or (error, message.topic())
            return
        self._delivered += 1
        self._hints[message.topic(), message.partition()] = message.offset()  # type: ignore[index, assignment]

    def _on_error(self, error: KafkaError) -> None:
        self._suspect = f"connection: {error.name()}"

    def _on_connection(self, text: str) -> None:
        self._suspect = f"connection: {text}"

    def _on_statistics(self, text: str) -> None:
        statistics = msgspec.json.decode(text)
        self._producers.measure(self._properties["transactional.id"], statistics)
        brokers = statistics.get("brokers", {}).values()
        retries = sum(broker.get("req_timeouts", 0) + broker.get("txretries", 0) for broker in brokers)
        if retries > self._retries:
            self._suspect = f"{retries - self._retries} requests were sent again"
        self._retries = retries

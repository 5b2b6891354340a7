"""An owner that is killed under load, with a transaction open: what readers may see, and what they may not."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from typing import Any, NamedTuple

from acceptance.stage import Stage, new_consumer, partitions_of
from acceptance.truth import check_sequences, identity
from confluent_kafka import IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from consume.engines import wait_until
from consume.golden import Golden
from consume.promised import Seen, promised
from consume.reading import read

INSTANTS = 400
"""At so many the owner is looked at; at about every third a transaction is open."""


class Killed(NamedTuple):
    """What lies in ``metrics`` afterwards."""

    golden: Golden
    rows: list[dict[str, Any]]
    """Committed, by a reader of the tests."""
    promised: list[Seen]
    """What every reader must see, by what the emulator sent and the gaps."""
    extras: int
    """Records besides, of transactions that were aborted."""
    stall: float
    """Seconds from the kill to the next update that a committed reader got; another owner started at once."""


class Watch:
    """Sees, by the clock of this machine, when committed updates become readable."""

    def __init__(self, kafka: str, topic: str) -> None:
        self.seen: list[float] = []
        self._consumer = new_consumer(kafka)
        numbers = partitions_of(self._consumer, topic)
        self._consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            if any(message.error() is None for message in self._consumer.consume(500, 0.05)):
                self.seen.append(time.monotonic())
        self._consumer.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def updates(self, since: int = 0) -> bool:
        """Whether more updates came than so many times."""
        return len(self.seen) > since + 10


def kill(kafka: str, registry: str, folder: Any) -> Killed:
    """Kill the owner with a transaction open, let another take over, and leave aborted records at every end."""
    stage = Stage(folder, kafka, registry, rate=300.0)
    with contextlib.closing(stage):
        stage.start_emulator().write_config().provision()
        watch = Watch(kafka, stage.topics["metrics"])
        with contextlib.closing(watch):
            died, stall = kill_under_load(stage, watch)
        gaps = [message.value for message in stage.read("gaps")]
        expected = promised(stage.journal().frames, gaps, died)
        return Killed(Golden(stage.prefix, kafka, registry, {}, {}), committed(stage), expected, extras(stage), stall)


def kill_under_load(stage: Stage, watch: Watch) -> tuple[float, float]:
    """When the owner was killed, seconds since the epoch, and how many seconds readers then saw nothing."""
    owner = stage.start_connector()
    wait_until(watch.updates, "updates under load")
    kill_inside(owner, stage.kafka, stage.topics["metrics"])
    killed, died, before = time.time(), time.monotonic(), len(watch.seen)
    owner.wait()
    second = stage.start_connector("second")
    wait_until(lambda: watch.updates(before), "updates after the kill")
    stage.settle()
    assert stage.stop(second) == 0, stage.log("second")
    abort(stage.kafka, stage.topics["metrics"])
    # What had been committed before may still have been on its way to the reader for a moment.
    return killed, next(at for at in watch.seen if at > died + 0.2) - died


def kill_inside(owner: Any, kafka: str, topic: str) -> None:
    """SIGKILL at an instant at which a transaction of the owner is open: it is held still, and looked at."""
    chance = random.Random(6)
    admin = AdminClient({"bootstrap.servers": kafka})
    numbers = admin.list_topics(topic, timeout=20).topics[topic].partitions
    for _ in range(INSTANTS):
        owner.send_signal(signal.SIGSTOP)
        # What it had sent by now arrives.
        time.sleep(0.05)
        if ends(admin, topic, numbers, IsolationLevel.READ_COMMITTED) != ends(
            admin, topic, numbers, IsolationLevel.READ_UNCOMMITTED
        ):
            owner.kill()
            return
        owner.send_signal(signal.SIGCONT)
        time.sleep(chance.uniform(0.02, 0.1))
    raise AssertionError(f"at none of {INSTANTS} instants was a transaction open")


def ends(admin: AdminClient, topic: str, numbers: Any, isolation: IsolationLevel) -> list[int]:
    """The offsets behind the last record that may be read, by partition."""
    places = {TopicPartition(topic, number): OffsetSpec.latest() for number in numbers}
    found = admin.list_offsets(places, isolation_level=isolation, request_timeout=20)
    return [found[place].result().offset for place in places]


def abort(kafka: str, topic: str) -> None:
    """Aborted records at the end of every partition: a bounded reader has to end behind them."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"abort-{topic}", "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    sample = read(kafka, topic)[0].value
    for number in producer.list_topics(topic, timeout=20).topics[topic].partitions:
        producer.produce(topic, sample, "all", number)
    producer.flush(30)
    producer.abort_transaction(30)


def committed(stage: Stage) -> list[dict[str, Any]]:
    """Every committed row; each was sent, none is there twice, and `verify` finds nothing."""
    metrics = stage.read("metrics")
    sent = stage.journal().values()
    identities = [identity(message) for message in metrics]
    assert len(set(identities)) == len(identities) > 300
    assert set(identities) <= set(sent)
    assert check_sequences(metrics) == []
    stage.command("verify", "--config", str(stage.config_file))
    return [message.value for message in metrics]


def extras(stage: Stage) -> int:
    topic = stage.topics["metrics"]
    return len(read(stage.kafka, topic, isolation="read_uncommitted")) - len(read(stage.kafka, topic))

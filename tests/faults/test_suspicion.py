"""What makes a producer suspect, and what must not."""

from __future__ import annotations

import json
import logging
import uuid
from concurrent.futures import Future

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connector.adapters.kafka import TransactionalSink

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

TRANSACTIONS = 60
COUNTERS = ("txretries", "req_timeouts", "txerrs")


class Nothing:
    """A log that holds nothing yet."""

    def read(self):
        return None, {}


class Lines(logging.Logger):
    """librdkafka's debug lines about a transaction that the coordinator was still ending."""

    def __init__(self):
        super().__init__("lines")
        self.concurrent = 0

    def log(self, _level, _template, _kind, _client, text):
        self.concurrent += "another concurrent operation on the same transaction" in text


class Here:
    """An executor that runs at once."""

    def submit(self, function, *arguments):
        done = Future()
        done.set_result(function(*arguments))
        return done


@pytest.fixture
def topic(cluster):
    name = f"suspicion-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": cluster.direct, "log_level": 0})
    admin.create_topics([NewTopic(name, 4, 3)])[name].result(30)
    return name


def test_back_to_back_transactions_are_retried_and_make_no_producer_suspect(cluster, topic):
    lines, moved = Lines(), dict.fromkeys(COUNTERS, 0)

    def make(settings):
        hear = settings["stats_cb"]

        def count(text):
            for broker in json.loads(text)["brokers"].values():
                for name in COUNTERS:
                    moved[name] = max(moved[name], broker.get(name, 0))
            hear(text)

        return Producer({**settings, "stats_cb": count, "statistics.interval.ms": 100})

    sink = TransactionalSink(
        {"bootstrap.servers": cluster.direct, "transactional.id": topic, "debug": "eos", "logger": lines},
        {"any": lambda value: value}, Nothing(), transaction_timeout=60.0, slow_commit=30.0, make_producer=make,
        executor=Here(),
    )  # fmt: skip
    sink._acquire()
    records = [(topic, partition, "key", "any", b"value", 0, None) for partition in range(4)]
    suspicions = []
    for _ in range(TRANSACTIONS):
        sink._commit(lambda _hints: records)
        suspicions.append(sink.suspect)
    sink._drop()
    assert lines.concurrent > 0, "no transaction met the end of the one before: nothing was tested"
    assert moved == dict.fromkeys(COUNTERS, 0)
    assert suspicions == [None] * TRANSACTIONS


def test_a_connection_that_the_broker_closes_makes_the_producer_suspect(cluster, topic):
    sink = TransactionalSink(
        {"bootstrap.servers": cluster.bootstrap("first"), "transactional.id": topic},
        {"any": lambda value: value}, Nothing(), transaction_timeout=60.0, slow_commit=30.0, executor=Here(),
    )  # fmt: skip
    sink._acquire()
    records = [(topic, partition, "key", "any", b"value", 0, None) for partition in range(4)]
    sink._commit(lambda _hints: records)
    assert sink.suspect is None
    for proxy in cluster.proxies("first"):
        proxy.cut()
    sink._commit(lambda _hints: records)
    suspect = sink.suspect
    sink._drop()
    assert suspect is not None
    assert suspect.startswith("connection: ")

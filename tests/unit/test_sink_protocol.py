"""One transaction as the sink plays it: deliveries counted before the commit, errors told once, slowness remembered."""

from __future__ import annotations

import json
from copy import copy
from functools import partial
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from connector.adapters.kafka import TransactionalSink
from connector.adapters.reported import translate
from connector.cli.preflight_kafka import _commit_time
from connector.errors import RecordRefused, SinkFenced, SinkRejected, SinkUnavailable

RECORD = ("metrics", 0, b"all", "update", {"v": 1}, 1, None)
SLOW = 1.0


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Message:
    def __init__(self, *place):
        self.topic, self.partition, self.offset = (partial(copy, one) for one in place)


class Broker:
    """A producer whose deliveries and commits go as told.

    Reports of ``delivers`` records come; for the others it ``waits``, or it forgets them.
    """

    def __init__(self, clock, *, delivers=99, delivery_error=None, commits=(), takes=0.0, waits=True):
        self.clock, self.delivers, self.delivery_error = clock, delivers, delivery_error
        self.commits, self.takes, self.waits = list(commits), takes, waits
        self.sent, self.calls = [], []

    def __call__(self, settings):
        self.settings = settings
        return self

    def init_transactions(self, _seconds):
        self.calls.append("init")

    def begin_transaction(self):
        self.calls.append("begin")
        self.sent = []

    def produce(self, topic, _value, _key, partition, **_):
        self.sent.append((topic, partition))

    def flush(self, _seconds):
        self.clock.now += 0.1
        reported, self.sent = self.sent[: self.delivers], self.sent[self.delivers :]
        self.delivers -= len(reported)
        for offset, place in enumerate(reported):
            self.settings["on_delivery"](self.delivery_error, Message(*place, offset))
        return len(self.sent) if self.waits else 0

    def commit_transaction(self, _seconds):
        self.calls.append("commit")
        self.clock.now += self.takes
        if self.commits and (error := self.commits.pop(0)) is not None:
            raise KafkaException(error)

    def poll(self, _seconds):
        return 0

    def purge(self):
        self.calls.append("purge")


class Recovery:
    def read(self):
        return None, {}


def sink(*, rebuild=True, **behaviour):
    clock = Clock()
    broker = Broker(clock, **behaviour)
    made = TransactionalSink(
        {"transactional.id": "zck.acme.0"}, {"update": lambda _: b"x"}, Recovery(), transaction_timeout=2.0,
        slow_commit=SLOW, rebuild=rebuild, make_producer=broker, monotonic=clock,
    )  # fmt: skip
    made._acquire()
    return made, broker


def commit(made, records=3):
    return made._commit(lambda _hints: [RECORD] * records)


# What an error means.


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._FENCED, SinkFenced),
        (KafkaError.PRODUCER_FENCED, SinkFenced),
        (KafkaError.INVALID_PRODUCER_EPOCH, SinkFenced),
        (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, SinkRejected),
        (KafkaError.SASL_AUTHENTICATION_FAILED, SinkRejected),
        (KafkaError.MSG_SIZE_TOO_LARGE, RecordRefused),
        (KafkaError._TIMED_OUT, SinkUnavailable),
        (KafkaError.NOT_ENOUGH_REPLICAS, SinkUnavailable),
        (KafkaError.UNKNOWN, SinkUnavailable),
    ],
)
@pytest.mark.parametrize(
    "flags", [(False, False, False), (True, False, False), (False, True, False), (False, False, True)]
)
def test_an_error_has_one_meaning_and_names_what_was_done(code, kind, flags):
    found = translate(KafkaError(code, "why", *flags), "delivery to topic t")
    assert type(found) is kind
    assert str(found).startswith("Kafka: delivery to topic t: why (")


def test_whatever_raises_in_a_transaction_ends_the_producer():
    """Not known to be harmless means fatal: the next transaction needs a new producer, and the log's word."""
    made, broker = sink(commits=[KafkaError(KafkaError.UNKNOWN, "odd")])
    with pytest.raises(SinkUnavailable, match="odd"):
        commit(made)
    assert broker.calls[-1] == "purge"
    with pytest.raises(SinkUnavailable, match="no producer; recover first"):
        commit(made)


# Deliveries.


def test_a_commit_comes_after_a_report_of_every_record():
    made, broker = sink()
    commit(made)
    assert broker.calls == ["init", "begin", "commit"]
    assert made.suspect is None


@pytest.mark.parametrize(
    ("waits", "said"), [(True, "1 of 3 records not acknowledged in time"), (False, "3 records sent, 2 acknowledged")]
)
def test_a_record_without_a_report_is_never_committed(waits, said):
    made, broker = sink(delivers=2, waits=waits)
    with pytest.raises(SinkUnavailable, match=said):
        commit(made)
    assert "commit" not in broker.calls


@pytest.mark.parametrize(
    ("code", "kind"),
    [(KafkaError.MSG_SIZE_TOO_LARGE, RecordRefused), (KafkaError._MSG_TIMED_OUT, SinkUnavailable)],
)
def test_a_failed_delivery_is_told_and_never_committed(code, kind):
    made, broker = sink(delivery_error=KafkaError(code, "no"))
    with pytest.raises(kind, match="delivery to topic metrics: no"):
        commit(made)
    assert "commit" not in broker.calls


# Slowness.


def test_a_retriable_commit_is_tried_again_and_makes_the_producer_suspect():
    made, broker = sink(commits=[KafkaError(KafkaError._TIMED_OUT, "later", False, True), None])
    commit(made)
    assert broker.calls == ["init", "begin", "commit", "commit"]
    assert made.suspect == "commit_transaction: _TIMED_OUT"


@pytest.mark.parametrize(("takes", "suspect"), [(SLOW * 0.8, False), (SLOW * 1.1, True)])
def test_a_slow_transaction_makes_the_producer_suspect_until_it_is_replaced(takes, suspect):
    made, _ = sink(takes=takes)
    seconds = commit(made)
    assert seconds == pytest.approx(takes + 0.1)
    assert (made.suspect is not None) is suspect
    made._acquire()
    assert made.suspect is None


def test_control_without_the_rule_nothing_is_suspect():
    made, _ = sink(takes=SLOW * 2, rebuild=False)
    commit(made)
    assert made.suspect is None


def test_statistics_are_the_second_net_and_ordinary_ones_trigger_nothing():
    made, broker = sink()

    def told(**counts):
        broker.settings["stats_cb"](json.dumps({"brokers": {"one": {"txretries": 0, "req_timeouts": 0, **counts}}}))
        return made.suspect

    assert told() is None
    assert told(tx=5, txbytes=900) is None
    assert told(txretries=1) == "1 requests were sent again"
    made._acquire()
    assert told() is None


# What `check` says of it.


@pytest.mark.parametrize(("seconds", "state"), [(0.05, "pass"), (0.33, "pass"), (0.34, "warn"), (2.0, "warn")])
def test_check_warns_of_commits_above_a_third_of_slow_commit(seconds, state):
    config = SimpleNamespace(kafka=SimpleNamespace(slow_commit=1.0))
    found = _commit_time(config, seconds)
    assert (found.state, found.subject) == (state, "commits")
    assert ("set kafka.slow_commit to" in found.remedy) is (state == "warn")

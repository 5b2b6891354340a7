"""A lost connection makes the producer suspect, by the line that librdkafka logs: it calls no error callback."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError, KafkaException

from connector.adapters.kafka import TransactionalSink
from connector.errors import SinkFenced, SinkRejected, SinkUnavailable


class Producer:
    """Keeps its settings and does nothing."""

    def __init__(self, settings):
        self.settings = settings

    def init_transactions(self, _timeout):
        """Fenced."""

    def purge(self):
        """Nothing waits."""


class Recovery:
    def read(self):
        return None, {}


@pytest.fixture
def made(request):
    """A sink with its producer, and what the producer was told."""
    made = []

    def make(settings):
        made.append(Producer(settings))
        return made[-1]

    sink = TransactionalSink(
        {"transactional.id": "zck.acme.0", **getattr(request, "param", {})}, {}, Recovery(),
        transaction_timeout=1.0, slow_commit=1.0, make_producer=make,
    )  # fmt: skip
    sink._acquire()
    return sink, made[0].settings


@pytest.mark.parametrize(("kind", "suspect"), [("FAIL", True), ("REQTMOUT", True), ("GETPID", False)])
def test_a_line_about_a_connection_makes_the_producer_suspect(made, caplog, kind, suspect):
    sink, settings = made
    with caplog.at_level(logging.INFO, "librdkafka"):
        settings["logger"].log(logging.INFO, "%s [%s] %s", kind, "producer-1", "Disconnected")
    assert caplog.messages == [f"{kind} [producer-1] Disconnected"]
    assert sink.suspect == ("connection: Disconnected" if suspect else None)


@pytest.mark.parametrize("made", [{"log_level": 3}], indirect=True)
def test_the_line_is_logged_whatever_is_configured(made):
    _, settings = made
    assert settings["log_level"] == 6
    assert settings["log.connection.close"] is True


def test_a_new_producer_is_not_suspect(made):
    sink, settings = made
    settings["logger"].log(logging.INFO, "%s [%s] %s", "FAIL", "producer-1", "Disconnected")
    sink._acquire()
    assert sink.suspect is None


class Fenced(Producer):
    """Raises as confluent_kafka does if a log line follows a fatal error within one call."""

    def begin_transaction(self):
        fatal = KafkaException(KafkaError(KafkaError._FENCED, "fenced by a newer instance", True))
        raise SystemError("returned a result with an exception set") from fatal


def test_a_fatal_error_under_a_system_error_is_the_fatal_error():
    sink = TransactionalSink(
        {"transactional.id": "zck.acme.0"}, {}, Recovery(), transaction_timeout=1.0, slow_commit=1.0,
        make_producer=Fenced,
    )  # fmt: skip
    sink._acquire()
    with pytest.raises(SinkFenced, match="fenced by a newer instance"):
        sink._commit(lambda _hints: [])


def test_a_fatal_error_under_a_system_error_refuses_the_start_in_words():
    class Refused(Producer):
        def init_transactions(self, *_):
            code = KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            raise SystemError("returned a result with an exception set") from KafkaException(
                KafkaError(code, "no", True)
            )

    sink = TransactionalSink(
        {"transactional.id": "zck.acme.0"}, {}, Recovery(), transaction_timeout=1.0, slow_commit=1.0,
        make_producer=Refused,
    )  # fmt: skip
    with pytest.raises(SinkRejected, match=r"init_transactions of transactional id zck\.acme\.0: no"):
        sink._acquire()


def test_a_system_error_that_hides_its_reason_leaves_it_to_the_log():
    class Broken(Producer):
        def begin_transaction(self):
            raise SystemError("returned NULL without setting an exception")

    sink = TransactionalSink(
        {"transactional.id": "zck.acme.0"}, {}, Recovery(), transaction_timeout=1.0, slow_commit=1.0,
        make_producer=Broken,
    )  # fmt: skip
    sink._acquire()
    with pytest.raises(SinkUnavailable, match="returned NULL"):
        sink._commit(lambda _hints: [])

"""librdkafka's transactional producer as the sink sees it: requests, resends, callbacks, error flags.

Its background work runs as events of its process; the application's thread waits in flush, poll and commit only.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException

if TYPE_CHECKING:
    from .network import Network
    from .world import Thread

BACKOFF = 0.1
INFO = 6
CONCURRENT_BACKOFF = 0.02
FATAL = ("PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "OUT_OF_ORDER_SEQUENCE_NUMBER")


class Delivered:
    """A delivery report's message."""

    __slots__ = ("_offset", "_place")

    def __init__(self, place: tuple[str, int], offset: int) -> None:
        self._place = place
        self._offset = offset

    def topic(self):
        return self._place[0]

    def partition(self):
        return self._place[1]

    def offset(self):
        return self._offset


class Request:
    """One request, sent until it is answered."""

    __slots__ = ("args", "attempt", "done", "kind", "then", "timer")

    def __init__(self, kind, args, then):
        self.kind = kind
        self.args = args
        self.then = then
        self.attempt = 0
        self.done = False
        self.timer = None


class Producer:
    """What `confluent_kafka.Producer` offers the sink."""

    def __init__(self, config: dict[str, Any], network: Network, thread: Thread) -> None:
        self._network = network
        self._world = network.world
        self._machine = network.machine
        self._thread = thread
        self._tid = config["transactional.id"]
        self._timeout = config["transaction.timeout.ms"] / 1000
        self._on_delivery = config["on_delivery"]
        self._error_cb = config["error_cb"]
        self._logger = config["logger"]
        self._stats_cb = config["stats_cb"]
        self._resent: list[float] = []
        self._last_stats = self._world.now
        self._pid = self._epoch = -1
        self._init: Request | None = None
        self._end: Request | None = None
        self._ended = False
        self._fatal: KafkaError | None = None
        self._abortable: KafkaError | None = None
        self._added: set[tuple[str, int]] = set()
        self._adding = False
        self._queue: dict[tuple[str, int], list[Any]] = {}
        self._flying = 0
        self._pumped = False
        self._sequences: dict[tuple[str, int], int] = {}
        self._reports: deque[tuple[KafkaError | None, Delivered]] = deque()
        self._errors: deque[KafkaError] = deque()
        self._lines: deque[str] = deque()
        self._told = False
        self._closed = False
        self._number = 0

    # The application's calls.

    def init_transactions(self, timeout: float) -> None:
        self._network.point("init", self._thread)
        if self._init is None:
            self._init = self._send("init", (self._tid, self._timeout), self._initialised)
        self._wait_for(lambda: self._pid >= 0 or self._fatal is not None, timeout)
        self._raise_fatal()
        if self._pid < 0:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "init_transactions", False, True, False))

    def begin_transaction(self) -> None:
        self._raise_fatal()
        self._number += 1
        self._ended = False
        self._end = None
        self._added.clear()

    def produce(self, topic, value=None, key=None, partition=-1, *, timestamp=0, headers=None) -> None:
        self._raise_fatal()
        if self._network.full():
            raise BufferError("Local: Queue full")
        self._queue.setdefault((topic, partition), []).append((key, value, timestamp, headers))
        if not self._pumped:
            self._pumped = True
            self._machine.call_soon(self._pump)

    def poll(self, timeout: float = 0.0) -> int:
        served = self._serve()
        if timeout and not served:
            self._thread.wait(timeout)
            served = self._serve()
        return served

    def flush(self, timeout: float) -> int:
        self._network.point("flush", self._thread)
        until = self._world.now + timeout
        while True:
            self._serve()
            waiting = self._flying + sum(map(len, self._queue.values()))
            if not waiting or self._world.now >= until:
                return waiting
            self._thread.wait(until - self._world.now)

    def commit_transaction(self, timeout: float) -> None:
        self._raise_fatal()
        if self._abortable is not None:
            raise KafkaException(self._abortable)
        until = self._world.now + timeout
        self.flush(timeout)
        self._raise_fatal()
        self._network.point("commit", self._thread)
        if self._end is None:
            self._end = self._send("end", (self._tid, self._pid, self._epoch, True), self._finished)
        self._wait_for(lambda: self._ended or self._fatal is not None, until - self._world.now)
        self._network.point("committed", self._thread)
        self._raise_fatal()
        if not self._ended:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "commit_transaction", False, True, False))

    def purge(self) -> None:
        """The sink lets go. What is in flight stays in flight; librdkafka may still resend an end for a while."""
        self._queue.clear()
        self._reports.clear()
        self._closed = True

    # Waiting and callbacks.

    def _wait_for(self, done, timeout):
        until = self._world.now + timeout
        while not done() and self._world.now < until:
            self._thread.wait(until - self._world.now)

    def _raise_fatal(self):
        if self._fatal is not None:
            raise KafkaException(self._fatal)

    def _serve(self):
        served = 0
        while self._errors:
            self._error_cb(self._errors.popleft())
            served += 1
        while self._lines:
            self._logger.log(INFO, "%s [%s] %s", "FAIL", self._tid, self._lines.popleft())
            served += 1
        tick = self._last_stats + 0.5
        if self._world.now >= tick:
            self._last_stats += int((self._world.now - self._last_stats) / 0.5) * 0.5
            resent = sum(1 for at in self._resent if at <= self._last_stats)
            self._stats_cb(json.dumps({"brokers": {"b1": {"txretries": resent, "req_timeouts": 0}}}))
        while self._reports:
            error, message = self._reports.popleft()
            self._on_delivery(error, message)
            served += 1
        return served

    # Requests.

    def _send(self, kind, args, then):
        request = Request(kind, args, then)
        self._transmit(request)
        return request

    def _transmit(self, request):
        if request.done or self._machine.dead or (self._closed and request.kind != "end"):
            return
        request.attempt += 1
        network = self._network
        if network.down:
            self._error("_TRANSPORT")
            self._machine.call_later(network.rng.uniform(BACKOFF, 1.0), self._transmit, request)
            return
        there, back, dropped = network.fate(request.kind)
        if there is not None:
            self._world.later(there, self._arrive, request, request.attempt, back)
        if dropped is None:
            request.timer = self._machine.call_later(network.socket_timeout, self._lost, request, request.attempt)
        else:
            request.timer = self._machine.call_later(dropped, self._lost, request, request.attempt)

    def _arrive(self, request, attempt, back):
        """At the broker, whatever has become of the sender."""
        answer = self._network.deliver(request.kind, request.args)
        if back is not None and answer is not None:
            self._machine.call_later(back, self._answer, request, attempt, answer)

    def _answer(self, request, attempt, answer):
        if request.done or attempt != request.attempt:
            return
        request.timer.cancel()
        code = answer[0] if request.kind == "init" else answer if request.kind != "produce" else ""
        if code in ("CONCURRENT_TRANSACTIONS", "NOT_COORDINATOR"):
            wait = CONCURRENT_BACKOFF if code == "CONCURRENT_TRANSACTIONS" else BACKOFF
            self._machine.call_later(wait, self._transmit, request)
            return
        request.done = True
        request.then(request, answer)
        self._thread.wake()

    def _lost(self, request, attempt):
        """The connection broke, or the answer did not come in time: send it again."""
        if request.done or attempt != request.attempt:
            return
        self._world.trace("%s: %s of %s sent again", self._machine.name, request.kind, self._tid)
        self._resent.append(self._world.now)
        self._broken()
        self._machine.call_later(BACKOFF, self._transmit, request)

    def _broken(self):
        """A connection that breaks is no error for librdkafka: it logs a line, and no equal one for 30 seconds."""
        if not self._told:
            self._told = True
            self._lines.append("Disconnected")
        self._thread.wake()

    def _error(self, name):
        self._errors.append(KafkaError(getattr(KafkaError, name), name, False, False, False))
        self._thread.wake()

    def _fail(self, name):
        """A fatal error; fencing has one name for the application, whoever noticed it."""
        fenced = name in ("PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH")
        code = KafkaError._FENCED if fenced else getattr(KafkaError, name)
        self._fatal = KafkaError(code, name, True, False, False)

    # Answers.

    def _initialised(self, request, answer):
        _, self._pid, self._epoch = answer
        self._world.trace("%s: %s has epoch %d", self._machine.name, self._tid, self._epoch)

    def _finished(self, request, answer):
        if answer == "":
            self._ended = True
        elif answer in ("PRODUCER_FENCED", "INVALID_TXN_STATE"):
            self._fail(answer)

    def _pump(self):
        self._pumped = False
        if self._closed or self._fatal is not None:
            return
        new = [place for place in self._queue if place not in self._added]
        if new:
            if not self._adding:
                self._adding = True
                self._send("add", (self._tid, self._pid, self._epoch, new), self._partitions_added)
            return
        queue, self._queue = self._queue, {}
        if queue:
            self._flying += sum(map(len, queue.values()))
            self._produce(list(queue.items()))
            self._machine.call_later(self._timeout, self._expire_messages, self._number)

    def _expire_messages(self, number):
        """`message.timeout.ms`: what is not acknowledged by then is given up."""
        if self._flying and number == self._number and not self._closed and self._abortable is None:
            self._report_all(KafkaError(KafkaError._MSG_TIMED_OUT, "timed out", False, False, False))

    def _partitions_added(self, request, answer):
        self._adding = False
        if answer:
            self._fail(answer)
            self._report_all(self._fatal)
            return
        self._added.update(request.args[3])
        self._pump()

    def _produce(self, batches):
        groups = self._network.split(batches)
        for group in groups:
            sent = []
            for place, records in group:
                first = self._sequences.get(place, 0)
                self._sequences[place] = first + len(records)
                sent.append((place, first, records))
            self._send("produce", (self._tid, self._pid, self._epoch, sent), self._produced)

    def _produced(self, request, answer):
        for place, _, records in request.args[3]:
            result = answer[place]
            self._flying -= len(records)
            if isinstance(result, int):
                for at in range(len(records)):
                    self._reports.append((None, Delivered(place, result + at)))
            else:
                self._refused(result, place, records)

    def _refused(self, name, place, records):
        if name in FATAL:
            self._fail(name)
            error = self._fatal
        else:
            error = self._abortable = KafkaError(getattr(KafkaError, name), name, False, False, True)
        for _ in records:
            self._reports.append((error, Delivered(place, -1001)))

    def _report_all(self, error):
        for place, records in self._queue.items():
            for _ in records:
                self._reports.append((error, Delivered(place, -1001)))
        self._queue.clear()
        for _ in range(self._flying):
            self._reports.append((error, Delivered(("?", -1), -1001)))
        self._flying = 0
        self._abortable = error

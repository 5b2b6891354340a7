"""A late EndTxn: the request to end one transaction reaches the coordinator in the middle of the next.

Of the next transaction only what goes to the broker with the offsets has arrived by then: the connector's memory
of the batch, without the records that are led elsewhere. Whoever believes that memory loses them.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient
from faults.proxy import ADD_PARTITIONS, END_TXN, PRODUCE
from waiting import wait_until

if TYPE_CHECKING:
    from faults.pair import Pair

ARRIVE = 0.2
"""Seconds from the first record of the next transaction to the late request."""
HOLD = 0.5
"""Seconds that the records for other brokers wait, so that the late request overtakes them."""


class Late:
    """Taps all ways of one replica to Kafka.

    1. The next EndTxn is held back and its connection is lost; the client sends it again on a new one.
    2. Of the transaction after it, what goes to the broker with the offsets passes, the rest waits.
    3. The held EndTxn arrives; then the rest goes on.
    """

    def __init__(self, pair: Pair, replica: str) -> None:
        topic = pair.topics["offsets"]
        topics = AdminClient({"bootstrap.servers": pair.cluster.direct, "log_level": 0}).list_topics(timeout=20).topics
        self._leader = topics[topic].partitions[0].leader
        self._proxies = {number: way.proxy for number, way in pair.cluster.kafka.ways[replica].items()}
        self._loop = pair.cluster.network.loop
        self._step = "hold"
        self.done = threading.Event()

    def start(self) -> None:
        for number, proxy in self._proxies.items():
            proxy.tap = partial(self._tap, number)

    def _tap(self, broker, link, key):
        if self._step == "hold" and key == END_TXN:
            self._step = "again"
            return "hold"
        if self._step == "again" and key == END_TXN:
            self._step = "next"
        elif self._step == "next" and key in (ADD_PARTITIONS, PRODUCE):
            self._step = "first"
        if self._step in ("first", "tear") and key == PRODUCE:
            self._produce(broker, link)
        return None

    def _produce(self, broker, link):
        if broker != self._leader:
            link.flowing.clear()
            self._loop.call_later(HOLD, link.flowing.set)
        elif self._step == "first":
            self._step = "tear"
            self._loop.call_later(ARRIVE, self._release)

    def _release(self) -> None:
        for proxy in self._proxies.values():
            proxy.release_now()
        self._loop.call_later(HOLD, self._finish)

    def _finish(self) -> None:
        for proxy in self._proxies.values():
            proxy.tap = None
        self.done.set()


def late_end_of_transaction(pair: Pair, replica: str) -> None:
    """Returns when the late request has arrived and the rest of the next transaction goes on."""
    late = Late(pair, replica)
    late.start()
    wait_until(late.done.is_set, what=f"a late EndTxn: {pair.log(replica)[-2000:]}")

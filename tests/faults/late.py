"""A late EndTxn: the request to end one transaction reaches the coordinator in the middle of the next."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from faults.pair import wait_until
from faults.proxy import ADD_PARTITIONS, END_TXN, PRODUCE

if TYPE_CHECKING:
    from faults.pair import Pair

HOLD = 0.5
"""Seconds that the rest of the next transaction waits, so that the late request overtakes it."""


class Late:
    """Taps all ways of one replica to Kafka.

    1. The next EndTxn is held back and its connection is lost; the client sends it again on a new one.
    2. Of the transaction after it the first Produce passes, the others wait.
    3. The held EndTxn arrives; then the others go on.
    """

    def __init__(self, pair: Pair, replica: str) -> None:
        self._proxies = pair.cluster.proxies(replica)
        self._loop = pair.cluster.network.loop
        self._step = "hold"
        self.done = threading.Event()

    def start(self) -> None:
        for proxy in self._proxies:
            proxy.tap = self._tap

    def _tap(self, link, key):
        if self._step == "hold" and key == END_TXN:
            self._step = "again"
            return "hold"
        if self._step == "again" and key == END_TXN:
            self._step = "next"
        elif self._step == "next" and key in (ADD_PARTITIONS, PRODUCE):
            self._step = "first"
        if self._step == "first" and key == PRODUCE:
            self._step = "tear"
            self._loop.call_later(0.1, self._release)
        elif self._step == "tear" and key == PRODUCE:
            link.flowing.clear()
            self._loop.call_later(HOLD, link.flowing.set)
        return None

    def _release(self) -> None:
        for proxy in self._proxies:
            proxy.release_now()
        self._loop.call_later(HOLD, self._finish)

    def _finish(self) -> None:
        for proxy in self._proxies:
            proxy.tap = None
        self.done.set()


def late_end_of_transaction(pair: Pair, replica: str) -> None:
    """Returns when the late request has arrived and the rest of the next transaction goes on."""
    late = Late(pair, replica)
    late.start()
    wait_until(late.done.is_set, what=f"a late EndTxn: {pair.log(replica)[-2000:]}")

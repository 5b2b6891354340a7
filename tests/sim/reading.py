"""The reader of the product's recovery, over the simulated log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.errors import SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .broker import Broker, Place
    from .network import Network
    from .world import Thread


class Read:
    """One record as a consumer hands it out."""

    __slots__ = ("_at", "_record")

    def __init__(self, place: Place, offset: int, record: Any) -> None:
        self._at = *place, offset
        self._record = record

    def topic(self):
        return self._at[0]

    def partition(self):
        return self._at[1]

    def offset(self):
        return self._at[2]

    def key(self):
        return self._record[0]

    def value(self):
        return self._record[1]


class Scan:
    """What `connector.adapters.scan.Scan` is to the recovery: read_committed; each step takes time and may fail."""

    def __init__(
        self, properties: Any, *, name: str, timeout: float, broker: Broker, network: Network, thread: Thread
    ) -> None:
        self._timeout = timeout
        self._broker = broker
        self._network = network
        self._thread = thread

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass

    def require(self, places: Any) -> None:
        """Nobody deletes topics here."""

    def bounds(self, place: Place) -> tuple[int, int]:
        self._step()
        log = self._broker.partition(place)
        return log.low, log.stable

    def read(self, starts: Mapping[Place, int]) -> Iterator[Read]:
        ends = {place: self._broker.partition(place).stable for place in starts}
        self._step()
        for place, start in starts.items():
            log = self._broker.partition(place)
            for offset, record in list(log.committed(max(start, log.low))):
                if offset < ends[place]:
                    yield Read(place, offset, record)

    def _step(self) -> None:
        network, thread = self._network, self._thread
        network.point("read", thread)
        thread.sleep(network.rng.random() * network.latency)
        until = network.world.now + self._timeout
        while network.down:
            if network.world.now > until:
                raise SinkUnavailable("Kafka: not readable in time")
            thread.wait(0.5)

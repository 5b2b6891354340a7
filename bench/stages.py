"""What each stage costs, microseconds of CPU per update, without sockets and brokers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench.blaster import BLOCK
from bench.instructions import RECEIVED_US, Route, frames_of, record_of
from bench.series import series
from connector.adapters.framing import Encoder
from connector.domain.model import Batch, ShardState
from connector.domain.records import METRIC_UPDATE
from connector.protocol.messages import decode_usual

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 15


def cost(work: Callable[[], None]) -> float:
    """The least CPU time of a thread for one update of the block."""
    found = []
    for _ in range(REPEATS):
        began = time.thread_time()
        work()
        found.append(time.thread_time() - began)
    return min(found) / BLOCK * 1e6


def stages() -> list[dict[str, Any]]:
    """Rows of the report."""
    followed = series(108)
    frames = frames_of(followed)
    route = Route(followed)
    events = [event for frame in frames for event in route.session.receive(frame, now=0.0, wall_us=RECEIVED_US)]
    for event in events:
        route.ledger.admit(event)
    items = tuple(route.ledger.queue)
    records = [record_of(followed[at % len(followed)], at) for at in range(BLOCK)]
    compiled = Encoder(METRIC_UPDATE, 1)

    def receive() -> None:
        for frame in frames:
            route.session.receive(frame, now=0.0, wall_us=RECEIVED_US)

    def admit() -> None:
        for event in events:
            route.ledger.admit(event)
        route.ledger.queue.release(len(events))

    def transaction() -> None:
        for record in route.recorder.transaction(Batch(0, items, 0), ShardState("b", 1, 1, 1, 0), RECEIVED_US, {}):
            if type(record.value) is dict:
                route.encoders[record.schema](record.value)

    work = {
        "decode, the usual frame": lambda: each(decode_usual, frames),
        "decode and session": receive,
        "ledger": admit,
        "records and encoding, latest and offsets included": transaction,
        "for comparison: one record by the compiled encoder": lambda: each(compiled, records),
        "for comparison: one record by fastavro": lambda: each(compiled.reference, records),
    }
    return [{"stage": name, "us_per_update": cost(one)} for name, one in work.items()]


def each(work: Callable[[Any], object], values: list[Any]) -> None:
    """Call it with every value."""
    for value in values:
        work(value)

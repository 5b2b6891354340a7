"""Figures of a running audit for Prometheus, read from the auditor when they are asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from connector.errors import LocalError
from connector.verify.findings import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from prometheus_client.core import Metric

    from connector.verify.checks import Auditor

_PREFIX: Final = "zendesk_chat_verify"
_PLURALS: Final = {
    "undeclared_gap": "undeclared_gaps",
    "gap_mismatch": "gap_mismatches",
    "gap_repeated": "gaps_repeated",
    "gap_without_step": "gaps_without_step",
    "epoch_rewind": "epoch_rewinds",
    "offset_ahead": "offsets_ahead",
    "offset_behind": "offsets_behind",
    "heartbeat_hole": "heartbeats_missing",
    "heartbeat_repeated": "heartbeats_repeated",
    "batch_mismatch": "batch_mismatches",
    "batch_forked": "batches_forked",
    "watermark_fell": "watermarks_fell",
}


def metric_of(kind: str) -> str:
    """Name of the counter of one kind of finding, without ``_total``."""
    return f"{_PREFIX}_{_PLURALS.get(kind, kind)}"


class Exposition(Collector):
    """One counter for each kind of finding, and how far the audit has come."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self.compared_at = time.time()
        """When the last round ended, seconds since the epoch."""

    def collect(self) -> Iterator[Metric]:
        """What Prometheus sees."""
        auditor = self._auditor
        for kind, meaning in KINDS.items():
            yield CounterMetricFamily(metric_of(kind), f"Found: {meaning}", auditor.findings.totals[kind])
        yield CounterMetricFamily(f"{_PREFIX}_updates_read", "Updates read", auditor.updates)
        yield GaugeMetricFamily(f"{_PREFIX}_series", "Series seen", len(auditor.series))
        yield GaugeMetricFamily(f"{_PREFIX}_open_gaps", "Series of which a gap is open", auditor.open_gaps)
        age = max(0.0, time.time() - self.compared_at)
        yield GaugeMetricFamily(f"{_PREFIX}_round_age_seconds", "Time since the last comparison", age)
        proven = auditor.proven_through
        if proven is not None:
            meaning = "Age of the oldest instant that is not proven complete"
            unproven = max(0.0, time.time() - proven / 1000)
            yield GaugeMetricFamily(f"{_PREFIX}_oldest_unproven_age_seconds", meaning, unproven)


def serve(exposition: Exposition, port: int) -> Callable[[], None]:
    """Answer on a loopback port; returns how to stop.

    Raises:
        LocalError: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(exposition)
    try:
        server: WSGIServer
        thread: Thread
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise LocalError(f"--port {port}: {error.strerror}; choose another, or 0 for none") from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop

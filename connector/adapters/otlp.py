"""Metrics and traces for an OpenTelemetry collector: the same sums as in /metrics, and a span for what takes time.

Loaded only where ``otlp`` is configured; what cannot be delivered is dropped, and never holds up the connector.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from connector.config import read_secret
from connector.domain.events import Acquired, Closed, Committed, Event, Failed, Opened
from connector.domain.model import Entry
from connector.errors import ConfigError

try:
    import requests
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Histogram,
        HistogramDataPoint,
        Metric,
        MetricsData,
        NumberDataPoint,
        ResourceMetrics,
        ScopeMetrics,
        Sum,
    )
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Status, StatusCode
except ImportError as missing:
    raise ConfigError(f"otlp: {missing.name} is not installed: pip install 'zendesk-chat-kafka[otel]'") from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric as Family

    from connector.config import Otlp as Settings

SCOPE: Final = "zendesk-chat-kafka"
TIMEOUT: Final = 5.0
"""Seconds for one push; at the end of the process there is no time for more."""


class Otlp:
    """Pushes what ``collect`` gives every ``interval``; as an observer of events it makes spans.

    Args:
        collect: the metrics in Prometheus' form; called on the event loop.

    Raises:
        ConfigError: the extra is not installed, or the token cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        collect: Callable[[], Iterable[Family]],
        *,
        account: str,
        instance: str,
        version: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._collect = collect
        self._interval = settings.interval
        self._wall = wall
        self._began_ns = int(wall() * 1e9)
        self._scope = InstrumentationScope(SCOPE, version)
        names = {"service.name": SCOPE, "service.instance.id": instance, "service.version": version}
        self._resource = Resource({**names, "zendesk.chat.account": account})
        base = settings.endpoint.rstrip("/")
        self._metrics = OTLPMetricExporter(f"{base}/v1/metrics", **_connection(settings))
        self._tracing = TracerProvider(resource=self._resource) if settings.traces else None
        if self._tracing is not None:
            spans = OTLPSpanExporter(f"{base}/v1/traces", **_connection(settings))
            self._tracing.add_span_processor(BatchSpanProcessor(spans))
        self._opened: dict[str, int] = {}

    async def run(self) -> None:
        """Push the metrics until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await asyncio.to_thread(self._metrics.export, self._now())

    async def close(self) -> None:
        """Push what there is, once, within a few seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                await asyncio.to_thread(self._shut, self._now())

    def _shut(self, last: MetricsData) -> None:
        self._metrics.export(last)
        self._metrics.shutdown()
        if self._tracing is not None:
            self._tracing.shutdown()

    # Metrics.

    def _now(self) -> MetricsData:
        now_ns = int(self._wall() * 1e9)
        metrics = [found for one in self._collect() if (found := self._metric(one, now_ns)) is not None]
        scopes = [ScopeMetrics(self._scope, metrics, "")]
        return MetricsData([ResourceMetrics(self._resource, scopes, "")])

    def _metric(self, family: Family, now_ns: int) -> Metric | None:
        """Names are those of Prometheus without ``_total``, which a collector adds where they go back to it."""
        if not family.samples:
            return None
        data: Any
        if family.type == "histogram":
            data = Histogram([self._histogram(family, now_ns)], AggregationTemporality.CUMULATIVE)
        else:
            points = [
                NumberDataPoint(dict(sample.labels), self._began_ns, now_ns, float(sample.value))
                for sample in family.samples
            ]
            counted = family.type == "counter"
            data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True) if counted else Gauge(points)
        unit = "s" if family.name.endswith("_seconds") else "By" if family.name.endswith("_bytes") else ""
        return Metric(family.name, family.documentation, unit, data)

    def _histogram(self, family: Family, now_ns: int) -> HistogramDataPoint:
        buckets = [(one.labels["le"], one.value) for one in family.samples if one.name.endswith("_bucket")]
        total = next(one.value for one in family.samples if one.name.endswith("_sum"))
        counts = [int(value) for _, value in buckets]
        apart = [count - before for count, before in zip(counts, [0, *counts], strict=False)]
        bounds = [float(bound) for bound, _ in buckets[:-1]]
        # What is smallest and largest a cumulative histogram does not tell: not a number, as the SDK has it.
        return HistogramDataPoint({}, self._began_ns, now_ns, counts[-1], total, apart, bounds, *2 * (float("nan"),))

    # Spans.

    def __call__(self, event: Event) -> None:
        """One span for what is over now."""
        if self._tracing is None:
            return
        about: dict[str, Any]
        match event:
            case Committed():
                updates = sum(type(item) is Entry for item in event.batch.items)
                began_us = event.at_us - int(event.seconds * 1e6)
                about = {"shard": event.batch.shard, "batch_id": event.batch_id, "updates": updates}
                self._span("transaction", began_us, event.at_us, about)
            case Failed():
                self._span("transaction", event.at_us, event.at_us, {"shard": event.shard}, event.error)
            case Acquired():
                about = {"shard": event.shard, "owner_epoch": event.owner_epoch, "series": event.series}
                self._span("takeover", event.at_us - int(event.seconds * 1e6), event.at_us, about)
            case Opened():
                self._opened[event.session_id] = event.at_us
            case Closed():
                began_us = self._opened.pop(event.session_id, event.at_us)
                about = {"session_id": event.session_id, "reason": event.reason}
                self._span("session", began_us, event.at_us, about)

    def _span(self, name: str, began_us: int, ended_us: int, about: dict[str, Any], error: str = "") -> None:
        assert self._tracing is not None
        span = self._tracing.get_tracer(SCOPE).start_span(name, start_time=began_us * 1000, attributes=about)
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(ended_us * 1000)


def _connection(settings: Settings) -> dict[str, Any]:
    """No proxy and no credentials from the environment."""
    session = requests.Session()
    session.trust_env = False
    headers = {}
    if settings.token_file is not None:
        headers["Authorization"] = f"Bearer {read_secret(settings.token_file, 'otlp.token_file')}"
    ca_file = None if settings.ca_file is None else str(settings.ca_file)
    return {"session": session, "headers": headers, "timeout": TIMEOUT, "certificate_file": ca_file}

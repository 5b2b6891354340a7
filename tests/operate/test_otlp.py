"""What an OpenTelemetry collector hears of a real connector; one that is away, or an extra that is missing."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from truth import check_values
from waiting import wait_until

from connector.local.process import free_port

FORMS = {"/v1/metrics": ExportMetricsServiceRequest, "/v1/traces": ExportTraceServiceRequest}


class Collector(BaseHTTPRequestHandler):
    """Keeps what is pushed, decoded by its path, and the credentials that came with it."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, FORMS[self.path].FromString(body)))
        self.server.tokens.add(self.headers["Authorization"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def collector():
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.heard, server.tokens = [], set()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def newest(server):
    """The metrics of the newest push, by name."""
    pushed = [one for path, one in server.heard if path == "/v1/metrics"]
    return {metric.name: metric for metric in pushed[-1].resource_metrics[0].scope_metrics[0].metrics}


def spans(server, name):
    pushed = [one for path, one in server.heard if path == "/v1/traces"]
    found = [span for one in pushed for scope in one.resource_spans[0].scope_spans for span in scope.spans]
    return [span for span in found if span.name == name]


def attributes(span):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def streaming(stage):
    wait_until(lambda: stage.alive() and stage.control("stats")["frames"] >= 500, 60, stage.log)


def test_a_collector_hears_the_sums_and_a_span_of_each_transaction(make_stage):
    with collector() as server:
        stage = make_stage()
        token = stage.folder / "otlp-token"
        stage.secrets["otlp token"] = f"canary-otlp-{uuid.uuid4().hex}+/="
        token.write_text(stage.secrets["otlp token"])
        token.chmod(0o600)
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        stage.write_config(otlp={"endpoint": endpoint, "token_file": str(token), "interval": "1s"})
        connector = stage.start_connector(http_proxy="http://127.0.0.1:1")
        streaming(stage)
        stage.settle()
        assert stage.stop(connector) == 0
    metrics = stage.read("metrics")
    assert server.tokens == {f"Bearer {stage.secrets['otlp token']}"}
    found = newest(server)
    counted = found["zendesk_chat_updates_committed"].sum
    assert counted.is_monotonic
    assert sum(point.as_double for point in counted.data_points) == len(metrics)
    sizes = found["zendesk_chat_batch_updates"].histogram.data_points[0]
    assert (sizes.sum, sizes.count) == (len(metrics), sum(sizes.bucket_counts))
    assert found["zendesk_chat_session_up"].gauge.data_points[0].as_double in (0, 1)
    transactions = [attributes(span) for span in spans(server, "transaction")]
    assert sum(one["updates"] for one in transactions) == len(metrics)
    assert [one["batch_id"] for one in transactions] == list(range(1, len(transactions) + 1))
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in spans(server, "transaction"))
    assert [attributes(span)["reason"] for span in spans(server, "session")] == ["restart"]
    assert len(spans(server, "takeover")) == 1


def test_a_collector_that_is_away_costs_nothing_but_log_lines(make_stage):
    stage = make_stage(config={"otlp": {"endpoint": f"http://127.0.0.1:{free_port()}", "interval": "1s"}})
    connector = stage.start_connector()
    streaming(stage)
    wait_until(lambda: "opentelemetry" in stage.log(), 60, stage.log)
    stage.settle()
    assert stage.stop(connector) == 0
    assert check_values(stage.journal(), stage.read("metrics")) == []
    assert "Traceback" not in stage.log()


def test_without_the_extra_it_says_what_to_install():
    code = "import sys; sys.modules['opentelemetry'] = None; import connector.adapters.otlp"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'zendesk-chat-kafka[otel]'" in done.stderr.splitlines()[-1]

"""The metrics in /metrics but those of the process itself: name, type, labels and meaning, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

PREFIX: Final = "zendesk_chat_"
COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

COMMIT_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
SIZE_BUCKETS: Final = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
AGE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)


class Row(NamedTuple):
    """One metric. ``name`` is without the prefix."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


TABLE: Final = (
    Row("build_info", GAUGE, ("version", "account", "python"), "1; what runs here"),
    Row("health", GAUGE, ("level",), "1 for the level that holds now: ok, degraded, down, standby"),
    Row("guarantee_strict", GAUGE, (), "1 if the full promise is configured"),
    Row("guarantee_holds", GAUGE, (), "1 if the full promise holds, by the newest checks of the topics"),
    Row("session_up", GAUGE, (), "1 while a session with the source is open"),
    Row("session_opened_timestamp_seconds", GAUGE, (), "When the open session was opened"),
    Row("ping_rtt_seconds", GAUGE, (), "Round-trip time of the newest ping to the source"),
    Row("sessions_opened_total", COUNTER, (), "Sessions opened"),
    Row("sessions_closed_total", COUNTER, ("reason",), "Sessions ended, by reason"),
    Row("connects_failed_total", COUNTER, ("reason",), "Sessions that ended or did not come about and were retried"),
    Row("connect_budget_used", GAUGE, (), "Connects and REST requests of the last minute"),
    Row("connect_budget_limit", GAUGE, (), "Most connects and REST requests a minute"),
    Row("frames_total", COUNTER, (), "Frames received from the source while owner"),
    Row("last_frame_age_seconds", GAUGE, (), "Age of the newest frame; silence is legal"),
    Row("notices_total", COUNTER, ("kind",), "What the source said besides values, by kind"),
    Row("updates_committed_total", COUNTER, ("family", "metric"), "Updates committed to Kafka"),
    Row("snapshots_suppressed_total", COUNTER, (), "Snapshots that repeated a known value and became no record"),
    Row("updates_waiting", GAUGE, (), "Updates that wait for their transaction now, and what opens and closes gaps"),
    Row("updates_waiting_limit", GAUGE, (), "Most that may wait for each shard, in memory and on disk"),
    Row("buffer_disk_bytes", GAUGE, (), "Size of the files of buffer.disk"),
    Row("updates_dropped_total", COUNTER, (), "Updates dropped and declared in gaps"),
    Row("dead_letters_total", COUNTER, ("reason",), "Dead letters committed, by reason"),
    Row(
        "transactions_total",
        COUNTER,
        ("result",),
        "Transactions committed, not confirmed (failed), and of these aborted: the log does not hold them",
    ),
    Row("producers_rebuilt_total", COUNTER, (), "Producers replaced because a transaction might have been ended late"),
    Row("kafka_errors_total", COUNTER, ("code",), "Transactions given up, by librdkafka's name of the error"),
    Row("producers_started_total", COUNTER, (), "Producers made: one for each shard acquired, more when replaced"),
    Row("kafka_queue_records", GAUGE, (), "Records in librdkafka's queues (its statistics, like the next ones)"),
    Row("kafka_queue_bytes", GAUGE, (), "Bytes of these records"),
    Row("kafka_brokers_up", GAUGE, (), "Connections of producers to brokers that are up"),
    Row("kafka_round_trip_seconds", GAUGE, (), "Mean time of a request and its answer, of the slowest broker"),
    Row("kafka_sent_bytes_total", COUNTER, (), "Bytes sent by the current producers; begins anew with a new one"),
    Row("kafka_requests_retried_total", COUNTER, (), "Requests that the current producers sent again"),
    Row("kafka_requests_timed_out_total", COUNTER, (), "Requests of the current producers that got no answer in time"),
    Row("commit_seconds", HISTOGRAM, (), "Time of a transaction, from its beginning until it is committed"),
    Row("batch_updates", HISTOGRAM, (), "Updates in a transaction, empty ones left out"),
    Row("batch_age_seconds", HISTOGRAM, (), "How long the oldest update of a transaction waited for its beginning"),
    Row("received_to_committed_seconds", HISTOGRAM, (), "Time of an update from its receipt until it is committed"),
    Row("gaps_opened_total", COUNTER, ("reason",), "Gaps of one series each, by reason"),
    Row("gaps_closed_total", COUNTER, ("reason",), "Gaps that ended, by reason"),
    Row("gaps_open", GAUGE, ("reason",), "Series with an open gap, by its reason"),
    Row("gap_seconds_total", COUNTER, ("reason",), "Length of the ended gaps, summed over the series"),
    Row("series_expected", GAUGE, (), "Series that are followed"),
    Row("series_active", GAUGE, (), "Series with a value in the open session"),
    Row("series_unconfirmed", GAUGE, (), "Series without a value in the open session"),
    Row("shard_owned", GAUGE, ("shard",), "1 for each shard that this replica owns"),
    Row("owner_epoch", GAUGE, ("shard",), "Owner epoch of an owned shard"),
    Row("batch_id", GAUGE, ("shard",), "Number of the newest transaction of an owned shard"),
    Row("heartbeat_age_seconds", GAUGE, ("shard",), "Time since the newest heartbeat, or since the takeover"),
    Row("complete_through_timestamp_seconds", GAUGE, ("shard",), "Everything received before is committed"),
    Row("shards_acquired_total", COUNTER, (), "Shards taken over"),
    Row("shards_yielded_total", COUNTER, (), "Shards handed over or lost"),
    Row("group_members", GAUGE, (), "Replicas in the consumer group"),
    Row("config_reloads_total", COUNTER, ("result",), "Configuration read again: applied, or refused"),
    Row("event_loop_lag_seconds", GAUGE, (), "Longest delay of the event loop in the last 10 s"),
    Row("series_value", GAUGE, ("series",), "Newest committed value; only with http.series_metrics"),
    Row("series_sequence", GAUGE, ("series",), "Newest committed sequence; only with http.series_metrics"),
    Row("series_epoch", GAUGE, ("series",), "Epoch; only with http.series_metrics"),
    Row("series_without_metrics", GAUGE, (), "Series above http.series_metrics, which have no metrics of their own"),
)
"""Every metric; the process metrics of the Prometheus client (``process_*``) come on top."""

BY_NAME: Final = {row.name: row for row in TABLE}


def family(row: Row, samples: Iterable[Any]) -> Metric:
    """One metric with its samples: (label values, value), or (buckets, sum) of a histogram."""
    name = PREFIX + row.name
    if row.type == HISTOGRAM:
        histogram = HistogramMetricFamily(name, row.help, labels=row.labels)
        for buckets, total in samples:
            histogram.add_metric((), buckets, total)
        return histogram
    kind = CounterMetricFamily if row.type == COUNTER else GaugeMetricFamily
    found = kind(name, row.help, labels=row.labels)
    for labels, value in samples:
        found.add_metric(labels, value)
    return found

"""The metrics: every documented one is exposed, and they add up."""

import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families
from status_feed import SECOND, Feed, gap

from connector.adapters.producers import Producers
from connector.adapters.prometheus import Histogram, PrometheusObserver
from connector.adapters.prometheus_table import COUNTER, HISTOGRAM, PREFIX, TABLE
from connector.domain.events import Failed, Noticed, Recovered, Refused, Yielded
from connector.domain.model import Series
from connector.domain.status import Status, advance

ONE = Series("chats", "missed_chats", 30, 5)
TWO = Series("agents", "agents_online")
START = 1_700_000_000 * SECOND


def producers():
    found = Producers()
    found.begin()
    found.begin()
    found.give_up("_TIMED_OUT")
    broker = {
        "state": "UP",
        "nodeid": 1,
        "txbytes": 700,
        "txretries": 1,
        "req_timeouts": 2,
        "rtt": {"cnt": 5, "avg": 2500},
    }
    bootstrap = {**broker, "nodeid": -1, "state": "UP", "rtt": {"cnt": 0, "avg": 0}}
    found.measure("p.0", {"msg_cnt": 3, "msg_size": 900, "brokers": {"one": broker, "bootstrap": bootstrap}})
    return found


@pytest.fixture
def scene():
    status = Status(START)
    metrics = PrometheusObserver(
        status,
        account="acme",
        version="1.2.3",
        budget=lambda: (7, 60),
        members=lambda: 2,
        lag=lambda: 0.01,
        waiting=lambda: 4,
        limit=1000,
        disk=lambda: 4096,
        producers=producers(),
        series_limit=1,
        holds=lambda: False,
        wall=lambda: feed.now_us / 1e6,
    )
    feed = Feed(lambda event: advance(status, event), metrics, now_us=START)
    return metrics, feed


def incident(feed):
    feed.acquire()
    feed.open()
    feed.commit(feed.subscribed(ONE), feed.subscribed(TWO))
    feed.commit(feed.entry(ONE, 1.0), feed.entry(TWO, 7.0), feed.entry(ONE, 2.0))
    feed.emit(Noticed("error", 500, "oops", "s1", 1, feed.now_us))
    feed.emit(Failed(0, "Kafka: away", feed.now_us))
    feed.emit(Recovered(0, False, feed.now_us))
    feed.emit(Failed(0, "Kafka: away", feed.now_us))
    feed.emit(Recovered(0, True, feed.now_us))
    feed.emit(Recovered(0, None, feed.now_us))
    feed.close()
    feed.emit(Refused("auth", "401", 1.0, feed.now_us))
    lost = gap(feed.now_us)
    feed.commit(feed.gap_opened(ONE, lost), feed.gap_opened(TWO, lost), repeats_suppressed_total=3)
    feed.wait(2)
    feed.open("s2")
    feed.commit(feed.gap_closed(ONE, lost), feed.rejected(), repeats_suppressed_total=5)


def samples(metrics):
    families = text_string_to_metric_families(metrics.render().decode())
    return {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}


def test_every_documented_metric_is_exposed_and_every_exposed_one_documented(scene):
    metrics, feed = scene
    incident(feed)
    text = metrics.render().decode()
    exposed = set(re.findall(rf"^# HELP {PREFIX}(\S+) \S", text, re.MULTILINE))
    assert exposed == {row.name for row in TABLE}
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for row in TABLE:
        suffix = "_bucket" if row.type == HISTOGRAM else ""
        assert any(re.match(rf"{PREFIX}{row.name}{suffix}[ {{]", line) for line in lines), row.name


def test_the_table_follows_the_naming_conventions():
    for row in TABLE:
        assert re.fullmatch(r"[a-z][a-z0-9_]+", row.name)
        assert row.name.endswith("_total") == (row.type == COUNTER)
        assert row.help
    assert len({row.name for row in TABLE}) == len(TABLE)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
def test_promtool_has_nothing_to_say(scene):
    metrics, feed = scene
    incident(feed)
    done = subprocess.run(["promtool", "check", "metrics"], input=metrics.render(), capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    wrong = metrics.render() + b"# TYPE wrong_total gauge\nwrong_total 1\n"
    assert subprocess.run(["promtool", "check", "metrics"], input=wrong, capture_output=True, check=False).returncode


def test_what_the_producers_tell(scene):
    metrics, _ = scene
    found = samples(metrics)
    expected = {
        ("kafka_errors_total", "_TIMED_OUT"): 1,
        ("producers_started_total",): 2,
        ("kafka_queue_records",): 3,
        ("kafka_queue_bytes",): 900,
        ("kafka_brokers_up",): 1,
        ("kafka_round_trip_seconds",): 0.0025,
        ("kafka_sent_bytes_total",): 1400,
        ("kafka_requests_retried_total",): 2,
        ("kafka_requests_timed_out_total",): 4,
        ("updates_waiting",): 4,
        ("buffer_disk_bytes",): 4096,
    }
    assert {key: found[PREFIX + key[0], *key[1:]] for key in expected} == expected
    metrics.producers.forget("p.0")
    assert samples(metrics)[PREFIX + "kafka_queue_bytes",] == 0


def test_an_incident_in_numbers(scene):
    metrics, feed = scene
    incident(feed)
    found = samples(metrics)
    expected = {
        ("updates_committed_total", "chats", "missed_chats"): 2,
        ("updates_committed_total", "agents", "agents_online"): 1,
        ("session_up",): 1,
        ("sessions_opened_total",): 2,
        ("sessions_closed_total", "disconnect"): 1,
        ("connects_failed_total", "auth"): 1,
        ("notices_total", "error"): 1,
        ("snapshots_suppressed_total",): 5,
        ("dead_letters_total", "not_json"): 1,
        ("transactions_total", "committed"): 4,
        ("transactions_total", "failed"): 2,
        ("transactions_total", "aborted"): 1,
        ("producers_rebuilt_total",): 1,
        ("guarantee_strict",): 1,
        ("guarantee_holds",): 0,
        ("batch_age_seconds_count",): 1,
        ("gaps_opened_total", "disconnect"): 2,
        ("gaps_closed_total", "disconnect"): 1,
        ("gaps_open", "disconnect"): 1,
        ("gap_seconds_total", "disconnect"): 2,
        ("shard_owned", "0"): 1,
        ("heartbeat_age_seconds", "0"): 0,
        ("connect_budget_used",): 7,
        ("group_members",): 2,
        ("health", "degraded"): 1,
        ("batch_updates_count",): 1,
        ("batch_updates_sum",): 3,
        ("commit_seconds_count",): 4,
        ("received_to_committed_seconds_count",): 3,
        ("series_without_metrics",): 1,
        ("series_value", TWO.name): 7,
    }
    for (name, *labels), value in expected.items():
        assert found[PREFIX + name, *labels] == value, name


def test_a_takeover_that_commits_nothing_ages_too(scene):
    """Kafka lost between the takeover and the first heartbeat: the alert needs a number."""
    metrics, feed = scene
    feed.acquire()
    feed.wait(40)
    assert samples(metrics)[PREFIX + "heartbeat_age_seconds", "0"] == 40
    feed.commit()
    feed.wait(3)
    assert samples(metrics)[PREFIX + "heartbeat_age_seconds", "0"] == 3


def test_a_new_owner_epoch_counts_on(scene):
    metrics, feed = scene
    feed.acquire()
    feed.commit(repeats_suppressed_total=10, frames_total=100)
    feed.emit(Yielded(0, "fenced", feed.now_us))
    feed.acquire()
    feed.commit(repeats_suppressed_total=4, frames_total=130)
    found = samples(metrics)
    assert found[PREFIX + "snapshots_suppressed_total",] == 14
    assert found[PREFIX + "frames_total",] == 130


def test_ages_by_bucket_are_those_of_single_observations():
    feed = Feed()
    ages = [70_000, 50_000, 49_999, 10_001, 10_000, 9_000, 0]
    entries = [feed.entry(ONE, 1.0, received_us=START - age) for age in ages]
    together, single = Histogram((0.01, 0.05, 1.0)), Histogram((0.01, 0.05, 1.0))
    together.observe_ages(entries, START)
    for age in ages:
        single.observe(age / 1e6)
    assert together.counts == single.counts == [3, 3, 1, 0]
    assert together.total == pytest.approx(single.total)


def test_series_have_no_metrics_of_their_own_by_default():
    status = Status(START)
    metrics = PrometheusObserver(status, account="acme", version="1")
    feed = Feed(lambda event: advance(status, event), metrics)
    feed.acquire()
    feed.commit(*[feed.entry(Series("chats", "active_chats", None, number), 1.0) for number in range(100)])
    found = samples(metrics)
    assert not [key for key in found if key[0] == PREFIX + "series_value"]
    assert found[PREFIX + "series_without_metrics",] == 100

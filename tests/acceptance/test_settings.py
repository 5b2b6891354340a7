"""The connector as it may be configured otherwise: TLS, credentials, departments, headers, names of topics."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from truth import check_gaps, check_heartbeats, check_latest, check_offsets, check_sequences, check_values
from waiting import wait_until

SERIES_OF_ONE = 18
"""Every metric, in both windows where it has windows."""


def streaming(stage, more=300):
    target = stage.control("stats")["frames"] + more
    wait_until(
        lambda: stage.alive() and stage.control("stats")["frames"] >= target,
        60,
        f"{more} more frames: {stage.log()[-1500:]}",
    )


def subscribed(stage, count):
    """Wait until the one session there is has so many subscriptions."""

    def reached():
        sessions = stage.control("stats")["sessions"]
        return len(sessions) == 1 and sessions[0]["subscriptions"] == count

    wait_until(reached, 60, f"{count} subscriptions: {stage.control('stats')['sessions']} {stage.log()[-1500:]}")


def ended(stage, connector):
    stage.settle()
    assert stage.stop(connector) == 0, stage.log()


def departments(*names):
    return [{"metrics": ["chats.*", "agents.*"], "windows": [30, 60], "departments": list(names)}]


def row_states(stage):
    """The newest state of each series in the offsets."""
    return {m.value["series"]: m.value["state"] for m in stage.read("offsets") if m.value["series"] != "#shard"}


def final_reasons(stage):
    """Of the gaps that ended: the orderly end itself opens one of each series."""
    return {m.value["reason"] for m in stage.read("gaps") if m.value["ended_at"] is not None}


@pytest.mark.parametrize("client", ["websockets", "picows"])
def test_over_wss_with_a_ca_of_its_own(make_stage, client):
    stage = make_stage(tls=True)
    assert stage.ready["url"].startswith("wss:")
    stage.write_config(
        source={"ca_file": stage.ready["ca"], "allow_plain_loopback": False, "client": client},
        # By name, so that the Departments API is asked over https too.
        subscriptions=departments("all", "Support"),
    )
    connector = stage.start_connector()
    streaming(stage)
    ended(stage, connector)
    assert check_values(stage.journal(), stage.read("metrics")) == []
    assert stage.control("stats")["connects"] == 1


def test_a_certificate_that_is_not_trusted_is_refused_with_the_remedy(make_stage):
    stage = make_stage(tls=True)
    stage.write_config(source={"allow_plain_loopback": False})
    connector = stage.start_connector()
    wait_until(lambda: "no session" in stage.log(), 60, stage.log())
    assert stage.stop(connector) == 0
    assert "check source.ca_file" in stage.log()
    assert stage.control("stats")["connects"] == 0


def test_with_oauth_client_credentials_instead_of_a_token(make_stage):
    stage = make_stage()
    secret = stage.folder / "client-secret"
    secret.write_text("emulator-secret")
    secret.chmod(0o600)
    oauth = {
        "token_url": f"{stage.ready['http']}/oauth2/token",
        "client_id": "emulator",
        "client_secret_file": str(secret),
    }
    stage.write_config(source={"token_file": None, "oauth": oauth}, subscriptions=departments("all", "Sales"))
    connector = stage.start_connector()
    streaming(stage)
    for number in (1, 2, 3):
        # One was for the Departments API, one for the session.
        stage.control("revoke", token=f"issued-token-{number}")
    wait_until(lambda: stage.control("stats")["connects"] >= 2, 60, "a session with a new token")
    streaming(stage)
    ended(stage, connector)
    metrics = stage.read("metrics")
    assert {m.key for m in metrics} == {"all", "2"}
    assert check_sequences(metrics) + check_gaps(None, metrics, stage.read("gaps")) == []
    assert "emulator-secret" not in stage.log()
    assert "issued-token" not in stage.log()


@pytest.mark.parametrize("unsubscribe", ["exact", "polite"])
def test_every_department_follows_new_ones_and_retires_vanished_ones_on_the_open_session(make_stage, unsubscribe):
    stage = make_stage()
    stage.write_config(
        source={"department_refresh": "1s", "requests_per_minute": 200, "unsubscribe": unsubscribe},
        subscriptions=departments("*"),
    )
    connector = stage.start_connector()
    subscribed(stage, 3 * SERIES_OF_ONE)
    stage.control("add-department", department_id=12345678901234, name="Night")
    subscribed(stage, 4 * SERIES_OF_ONE)
    streaming(stage)
    stage.control("remove-department", department_id=2)
    # Polite sends nothing while other departments follow the same metrics: what still came would be discarded.
    gone = "agents.agents_online||2"
    if unsubscribe == "exact":
        subscribed(stage, 3 * SERIES_OF_ONE)
    wait_until(lambda: row_states(stage).get(gone) == "removed", 60, f"{gone} retired: {stage.log()[-1500:]}")
    late = (
        '{"content":{"topic":"agents","data":{"agents_online":41},"type":"update","department_id":2},"status_code":200}'
    )
    stage.control("raw", text=late, kind="late")
    streaming(stage)
    ended(stage, connector)

    metrics = stage.read("metrics")
    assert {m.key for m in metrics} == {"1", "2", "3", "12345678901234"}
    assert 41 not in {m.value["value"] for m in metrics if m.value["series"] == gone}
    states = row_states(stage)
    assert {series for series, state in states.items() if state == "removed"} == {
        series for series in states if series.endswith("|2")
    }
    tombstones = {m.key for m in stage.read("latest") if m.value is None}
    assert tombstones == {f"acme/{series}" for series in states if series.endswith("|2")}
    assert check_sequences(metrics) + check_values(stage.journal(), metrics) == []
    assert final_reasons(stage) == set()
    assert stage.control("stats")["connects"] == 1


def test_a_department_by_name_is_followed_by_its_id_until_the_name_is_gone(make_stage):
    stage = make_stage()
    stage.write_config(
        source={"department_refresh": "1s", "requests_per_minute": 200, "unsubscribe": "exact"},
        subscriptions=departments("Support", "Billing"),
    )
    connector = stage.start_connector()
    subscribed(stage, 2 * SERIES_OF_ONE)
    stage.control("rename-department", department_id=3, name="Finance")
    subscribed(stage, SERIES_OF_ONE)
    streaming(stage, 50)
    stage.control("rename-department", department_id=3, name="Billing")
    subscribed(stage, 2 * SERIES_OF_ONE)
    streaming(stage)
    ended(stage, connector)
    metrics, gaps = stage.read("metrics"), stage.read("gaps")
    assert {m.key for m in metrics} == {"1", "3"}
    # What left a session comes back on a new one, which is a gap for the others.
    assert {m.value["reason"] for m in gaps if m.key == "3" and m.value["epoch_after"] == 2} == {"unsubscribed"}
    assert "unsubscribed" not in {m.value["reason"] for m in gaps if m.key == "1"}
    assert set(row_states(stage).values()) == {"active"}
    assert check_sequences(metrics) + check_gaps(None, metrics, gaps) == []


def test_repeats_are_left_out_and_counted_if_configured(make_stage):
    stage = make_stage(rate=None, config={"collapse_repeats": True})
    connector = stage.start_connector()
    streaming(stage, 50)
    series = "agents.agents_online||2"
    pushed = ["4", "4", "4.0", "5", "5", "4", "null", "null", "4"]
    for raw in pushed:
        stage.control("value", series=series, raw=raw)
    ended(stage, connector)
    metrics = stage.read("metrics")
    tail = [m.value["value_raw"] for m in metrics if m.value["series"] == series][-5:]
    assert tail == ["4", "5", "4", None, "4"]
    beats = stage.read("heartbeats")
    suppressed = beats[-1].value["repeats_suppressed_total"]
    assert suppressed >= 4
    assert check_values(stage.journal(), metrics, suppressed=suppressed) == []
    assert check_heartbeats(beats, 4) + check_offsets(metrics, stage.read("offsets")) == []


CLOUDEVENTS = {
    "minimal": {"ce_specversion", "ce_id", "ce_source", "ce_type"},
    "full": {
        *("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"),
        *("ce_subject", "ce_sequence", "ce_dataschema", "content-type"),
    },
    "none": set(),
}


@pytest.mark.parametrize("form", ["full", "none"])
def test_headers_are_those_configured_on_every_topic(make_stage, form):
    stage = make_stage(config={"headers": form})
    connector = stage.start_connector()
    streaming(stage)
    stage.control("raw", text="not json")
    stage.control("drop")
    wait_until(lambda: stage.control("stats")["connects"] == 2, 60, "a reconnect")
    streaming(stage)
    ended(stage, connector)
    for topic in ("metrics", "latest", "gaps", "heartbeats", "dead-letters"):
        messages = stage.read(topic)
        assert messages
        assert {frozenset(m.headers) for m in messages} == {frozenset(CLOUDEVENTS[form])}, topic
    assert {frozenset(m.headers) for m in stage.read("offsets")} == {frozenset()}
    if form == "full":
        for m in stage.read("metrics"):
            assert m.headers["ce_subject"] == m.value["series"]
            assert int(m.headers["ce_sequence"]) == m.value["sequence"]
            assert m.headers["ce_id"] == m.value["event_id"]


def test_one_topic_for_each_family(make_stage):
    stage = make_stage(config={"topics": {"metrics": "{prefix}.{family}.updates"}, "kafka": {"latest_partitions": 3}})
    connector = stage.start_connector()
    streaming(stage, 500)
    ended(stage, connector)
    by_family = {family: stage.read(f"{stage.prefix}.{family}.updates") for family in ("chats", "agents")}
    for family, messages in by_family.items():
        assert {m.value["family"] for m in messages} == {family}
    metrics = [*by_family["chats"], *by_family["agents"]]
    assert check_values(stage.journal(), metrics) == []
    assert check_offsets(metrics, stage.read("offsets")) + check_latest(metrics, stage.read("latest")) == []
    named = {m.value["topic"] for m in stage.read("offsets") if m.value["series"] != "#shard"}
    assert named == {f"{stage.prefix}.{family}.updates" for family in by_family}
    assert {m.partition for m in stage.read("latest")} == {0, 1, 2}


def test_the_consumer_of_the_documents_reads_what_is_there(make_stage):
    stage = make_stage(rate=100.0)
    connector = stage.start_connector()
    streaming(stage, 100)
    text = (Path(__file__).parents[2] / "docs" / "topics.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for shown, here in (
        ("zendesk.chat.metrics", stage.topics["metrics"]),
        ("http://localhost:8081", stage.registry),
        ("localhost:9092", stage.kafka),
        ('"wallboard"', f'"wallboard-{stage.prefix}"'),
    ):
        assert shown in program
        program = program.replace(shown, here)
    # It reads for ever: a hundred lines are enough.
    with subprocess.Popen([sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, text=True) as reader:
        lines = [reader.stdout.readline().split() for _ in range(100)]
        reader.kill()
    ended(stage, connector)
    there = {(m.key, m.value["series"], str(m.value["value"]), str(m.value["sequence"])) for m in stage.read("metrics")}
    assert {tuple(line) for line in lines} <= there

"""The main job, whole: every value that the source sent is in the topic once, as what it was."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from truth import check_gaps, check_heartbeats, check_latest, check_offsets, check_sequences, check_values, undeclared
from waiting import wait_until

BROKEN = Path(__file__).parent / "broken"


def findings_of(stage, *, suppressed=0):
    metrics, offsets = stage.read("metrics"), stage.read("offsets")
    return (
        check_values(stage.journal(), metrics, suppressed=suppressed)
        + check_gaps(None, metrics, stage.read("gaps"))
        + check_heartbeats(stage.read("heartbeats"), 4)
        + check_offsets(metrics, offsets)
        + check_latest(metrics, stage.read("latest"))
    )


def wait_for_frames(stage, frames, seconds=60):
    wait_until(lambda: stage.alive() and stage.control("stats")["frames"] >= frames, seconds, f"{frames} frames")


def test_every_value_of_15_metrics_and_50_departments_is_in_the_topic_once(make_stage):
    stage = make_stage(departments=50, rate=2000.0)
    connector = stage.start_connector()
    wait_for_frames(stage, 8_000)
    stage.settle()
    assert stage.stop(connector) == 0, stage.log()
    metrics = stage.read("metrics")
    assert len({message.value["series"] for message in metrics}) == 51 * 18
    assert {message.value["origin"] for message in metrics} == {"initial", "update"}
    assert findings_of(stage) == []


def test_values_of_every_kind_arrive_as_they_are(make_stage):
    stage = make_stage(rate=None, departments=2)
    connector = stage.start_connector()
    wait_until(lambda: stage.control("stats")["sessions"], 60, stage.log())
    wait_for_frames(stage, 50)
    pushed = [
        ("chats.active_chats||1", "-1"),
        ("chats.waiting_time_avg||", "12.50"),
        ("chats.waiting_time_avg||", "null"),
        ("chats.missed_chats|60|2", "1e2"),
        ("chats.chat_duration_max||", "123456789012"),
        ("agents.agents_online||2", "0"),
        ("agents.agents_online||2", "0"),
    ]
    for series, raw in pushed:
        stage.control("value", series=series, raw=raw)
    stage.settle()
    assert stage.stop(connector) == 0
    values = [(m.value["series"], m.value["value_raw"] or "null") for m in stage.read("metrics")]
    for one in pushed:
        assert one in values
    assert values.count(("agents.agents_online||2", "0")) >= 2
    assert findings_of(stage) == []


MALFORMED = [
    '{"content":{"topic":"chats","data":{"incoming_chats":NaN},"type":"update","department_id":null},"status_code":200}',
    '{"content":{"topic":"chats","data":{"incoming_chats":1e400},"type":"update","department_id":null},"status_code":200}',
    '{"content":{"topic":"chats","data":{"incoming_chats":1,"incoming_chats":2},"type":"update","department_id":null},"status_code":200}',
    '{"content":{"topic":"chats","data":{"incoming_chats":"3"},"type":"update","department_id":null},"status_code":200}',
    '{"content":{"topic":"chats","data":{"new_metric":3},"type":"update","department_id":null},"status_code":200}',
    '{"content":{"topic":"chats","data":{"missed_chats":{"15":3}},"type":"update","department_id":null},"status_code":200}',
    "[" * 50_000,
    "not json",
    '{"status_code":200',
    "\ufeff{}",
]


def test_every_malformed_frame_is_a_dead_letter_once_byte_for_byte_and_the_session_goes_on(make_stage):
    stage = make_stage(rate=100.0)
    connector = stage.start_connector()
    wait_for_frames(stage, 100)
    for text in MALFORMED:
        stage.control("raw", text=text)
    stage.control("raw", base64="//79")
    wait_for_frames(stage, stage.control("stats")["frames"] + 200)
    stage.settle()
    assert stage.stop(connector) == 0, stage.log()
    letters = stage.read("dead-letters")
    assert sorted(m.value["payload"] for m in letters) == sorted(
        [*(text.encode() for text in MALFORMED), b"\xff\xfe\xfd"]
    )
    sent = {(line["session"], line["frame"]) for line in stage.journal().of_kind("malformed")}
    assert {(m.value["session_id"], m.value["frame"]) for m in letters} == sent
    assert len({m.value["error_id"] for m in letters}) == len(letters)
    assert stage.control("stats")["connects"] == 1
    metrics, gaps = stage.read("metrics"), stage.read("gaps")
    undecodable = [m.value["series"] for m in gaps if m.value["reason"] == "undecodable"]
    assert "chats.incoming_chats||" in undecodable
    assert check_sequences(metrics) + check_gaps(None, metrics, gaps) == []
    assert findings_of(stage) == []


@pytest.mark.parametrize("client", ["websockets", "picows"])
def test_a_reconnect_is_a_declared_gap_and_the_numbers_go_on(make_stage, client):
    stage = make_stage(rate=300.0)
    stage.write_config(source={"client": client})
    connector = stage.start_connector()
    wait_for_frames(stage, 400)
    for mode in ("close", "reset", "fin"):
        connects = stage.control("stats")["connects"]
        stage.control("drop", mode=mode)
        wait_until(lambda: stage.control("stats")["connects"] > connects, 60, "a reconnect")  # noqa: B023 - called at once
        wait_for_frames(stage, stage.control("stats")["frames"] + 300)
    stage.settle()
    assert stage.stop(connector) == 0
    metrics, gaps = stage.read("metrics"), stage.read("gaps")
    assert max(m.value["epoch"] for m in metrics) == 4
    assert "resync" in {m.value["origin"] for m in metrics}
    assert check_sequences(metrics) + check_gaps(None, metrics, gaps) == []
    assert undeclared(stage.journal(), metrics, gaps) == []


def test_a_restart_continues_every_sequence_in_a_new_epoch(make_stage):
    stage = make_stage(rate=300.0)
    for _ in range(2):
        connector = stage.start_connector()
        wait_for_frames(stage, stage.control("stats")["frames"] + 500)
        assert stage.stop(connector) == 0
    connector = stage.start_connector()
    wait_for_frames(stage, stage.control("stats")["frames"] + 300)
    stage.settle()
    assert stage.stop(connector) == 0
    metrics, gaps = stage.read("metrics"), stage.read("gaps")
    assert (
        check_sequences(metrics) + check_gaps(None, metrics, gaps) + check_offsets(metrics, stage.read("offsets")) == []
    )
    assert undeclared(stage.journal(), metrics, gaps) == []
    reasons = {m.value["reason"] for m in gaps}
    assert reasons == {"restart"}


def test_what_is_no_longer_configured_is_retired_and_comes_back_in_a_new_epoch(make_stage):
    stage = make_stage(rate=300.0)
    some = {"subscriptions": [{"metrics": ["chats.incoming_chats"], "departments": ["all"]}]}
    for overrides in ({}, some, {}):
        stage.write_config(**overrides)
        connector = stage.start_connector()
        wait_for_frames(stage, stage.control("stats")["frames"] + 300)
        if overrides is some:
            stage.settle()
            stage.control("resume")
        assert stage.stop(connector) == 0, stage.log()
    rows = {}
    for message in stage.read("offsets"):
        rows.setdefault(message.value["series"], []).append(message.value["state"])
    states = rows["agents.agents_online||1"]
    assert "removed" in states
    assert states[-1] == "active"
    tombstones = [message.key for message in stage.read("latest") if message.value is None]
    assert "acme/agents.agents_online||1" in tombstones
    assert "acme/chats.incoming_chats||" not in tombstones
    metrics = stage.read("metrics")
    assert check_sequences(metrics) + check_gaps(None, metrics, stage.read("gaps")) == []


@pytest.mark.parametrize("damage", ["drop", "repeat"])
def test_control_a_build_that_drops_or_repeats_one_update_is_found(make_stage, damage):
    stage = make_stage(rate=300.0)
    connector = stage.start_connector(module="broken", PYTHONPATH=str(BROKEN), DAMAGE=damage)
    wait_for_frames(stage, 400)
    stage.settle()
    stage.stop(connector)
    found = check_values(stage.journal(), stage.read("metrics"))
    assert any(text.startswith("missing" if damage == "drop" else "repeated") for text in found), found


SWITCHES = [
    {"auth_frame": "off"},
    {"snapshot": "off"},
    {"ack": "on"},
    {"several_keys": "on"},
    {"both_windows": "on"},
    {"ageing": "on"},
    {"durations": "live"},
    {"float_averages": "on"},
    {"negatives": "0.3"},
    {"cold": "null"},
    {"ping_interval": "0.5"},
    {"idle_timeout": "3"},
    {"deflate": "on"},
    {"duplicates": "on"},
    {"unsubscribe": "all"},
    {"unsubscribe": "global"},
    {"unknown_topic": "ignore", "unknown_window": "ignore", "unknown_department": "ignore", "missing_window": "both"},
    {"close_on_500": "on"},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda one: ",".join(f"{k}={v}" for k, v in one.items()))
def test_the_core_holds_under_every_switch_of_the_unknown(make_stage, switches):
    stage = make_stage(rate=400.0, switches=switches)
    connector = stage.start_connector()
    wait_for_frames(stage, 500)
    stage.settle()
    assert stage.stop(connector) == 0, stage.log()
    assert findings_of(stage) == []
    assert stage.control("stats")["connects"] == 1


def test_a_session_of_limited_age_is_a_chain_of_declared_gaps(make_stage):
    stage = make_stage(rate=300.0, switches={"max_age": "1.5", "close_code": "1001"})
    connector = stage.start_connector()
    wait_until(lambda: stage.control("stats")["connects"] >= 4, 60, "four sessions")
    stage.settle()
    assert stage.stop(connector) == 0
    metrics, gaps = stage.read("metrics"), stage.read("gaps")
    assert check_sequences(metrics) + check_gaps(None, metrics, gaps) == []
    assert undeclared(stage.journal(), metrics, gaps) == []


@pytest.mark.parametrize("where", ["frame", "http"])
def test_a_refused_token_is_retried_slowly_and_read_again(make_stage, where):
    stage = make_stage(rate=300.0, switches={"unauthorised": where})
    good = stage.token_file.read_text()
    stage.token_file.write_text("wrong-token-canary")
    connector = stage.start_connector()
    wait_until(lambda: "token" in stage.log() and "no session" in stage.log(), 60, stage.log())
    stage.token_file.write_text(good)
    wait_for_frames(stage, 300)
    stage.settle()
    assert stage.stop(connector) == 0
    assert check_sequences(stage.read("metrics")) == []
    assert "wrong-token-canary" not in stage.log()


@pytest.mark.parametrize("body", ["json", "text"])
def test_a_429_is_waited_out(make_stage, body):
    stage = make_stage(rate=300.0, switches={"rate_limit_body": body})
    stage.control("refuse", status=429, count=2, retry_after=1)
    connector = stage.start_connector()
    wait_until(lambda: "throttled" in stage.log(), 60, stage.log())
    wait_for_frames(stage, 300)
    assert stage.stop(connector) == 0
    assert json.loads(stage.log().splitlines()[-1])["event"]


@pytest.mark.parametrize("client", ["websockets", "picows"])
def test_sigterm_within_ten_seconds_and_what_was_received_is_committed(make_stage, client):
    stage = make_stage(rate=2000.0)
    stage.write_config(source={"client": client})
    connector = stage.start_connector()
    wait_for_frames(stage, 3_000)
    began = time.monotonic()
    assert stage.stop(connector) == 0
    assert time.monotonic() - began < 10
    metrics, beats = stage.read("metrics"), stage.read("heartbeats")
    assert beats[-1].value["state"] == "stopping"
    assert beats[-1].value["waiting"] == 0
    assert len(metrics) == beats[-1].value["records_total"]
    assert undeclared(stage.journal(), metrics, stage.read("gaps")) == []


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, *sys.argv[1:]]))

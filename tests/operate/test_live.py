"""Changes without a restart: what is subscribed, and the token."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.request

import pytest
from truth import check_gaps, check_sequences, check_values
from waiting import wait_until

from connector.local.process import free_port


def followed(*departments):
    return [
        {"metrics": ["chats.incoming_chats"], "departments": list(departments)},
        {"metrics": ["chats.missed_chats"], "windows": [30], "departments": list(departments)},
    ]


ONE = {"subscriptions": followed(1)}
TWO = {"subscriptions": [*followed(1, 2), {"metrics": ["agents.agents_online"]}]}


def streaming(stage, more=200):
    target = stage.control("stats")["frames"] + more
    wait_until(lambda: stage.control("stats")["frames"] >= target, 60, f"{more} more frames: {stage.log()[-1500:]}")


def series_of(stage):
    return {message.value["series"] for message in stage.read("metrics")}


CASES = [
    ("polite", {}),
    ("polite", {"unsubscribe": "all"}),
    ("polite", {"unsubscribe": "global", "duplicates": "on"}),
    ("polite", {"duplicates": "on"}),
    # exact is for a source that drops exactly what is unsubscribed
    ("exact", {}),
    ("exact", {"duplicates": "on"}),
]


@pytest.mark.parametrize(("how", "switches"), CASES, ids=str)
def test_a_new_configuration_is_applied_as_a_difference_on_the_open_session(make_stage, how, switches):
    stage = make_stage(rate=300.0, switches=switches, config={"source": {"unsubscribe": how}})
    stage.write_config(**ONE)
    connector = stage.start_connector()
    streaming(stage, 20)
    stage.write_config(**TWO)
    wait_until(lambda: "reloaded" in stage.log(), 60, stage.log())
    wait_until(lambda: "agents.agents_online||" in series_of(stage), what="a value of the new series")
    streaming(stage, 30)
    stage.write_config(**ONE)
    wait_until(lambda: stage.log().count('"reloaded"') >= 2, 60, stage.log())
    streaming(stage, 10)
    assert stage.control("stats")["connects"] == 1
    stage.settle()
    assert stage.stop(connector) == 0
    metrics, gaps = stage.read("metrics"), stage.read("gaps")
    rows = {message.value["series"]: message.value["state"] for message in stage.read("offsets")}
    assert rows["agents.agents_online||"] == rows["chats.incoming_chats||2"] == "removed"
    assert rows["chats.incoming_chats||1"] == "active"
    tombstones = {message.key for message in stage.read("latest") if message.value is None}
    assert "acme/agents.agents_online||" in tombstones
    assert check_sequences(metrics) + check_gaps(None, metrics, gaps) == []
    undisturbed = [message for message in metrics if message.value["series"] == "chats.missed_chats|30|1"]
    assert {message.value["epoch"] for message in undisturbed} == {1}


def test_a_bad_configuration_is_refused_with_line_and_key_and_the_old_one_stays(make_stage):
    stage = make_stage(rate=300.0)
    connector = stage.start_connector()
    streaming(stage)
    text = stage.config_file.read_text()
    stage.config_file.write_text(text.replace("chats.*", "chats.incomming_chats"))
    connector.send_signal(signal.SIGHUP)
    wait_until(lambda: "reload refused" in stage.log(), 60, stage.log())
    where = r"connector\.yaml:[0-9]+: subscriptions\[0\]\.metrics\[0\]: .*did you mean chats\.incoming_chats\?"
    assert re.search(where, stage.log()), stage.log()
    stage.config_file.write_text(text + "\ncollapse_repeats: true\n")
    wait_until(lambda: "only a restart applies collapse_repeats" in stage.log(), 60, stage.log())
    streaming(stage, 50)
    stage.settle()
    assert stage.stop(connector) == 0
    assert check_values(stage.journal(), stage.read("metrics")) == []


def test_the_level_of_the_log_changes_with_sighup(make_stage):
    port = free_port()
    stage = make_stage(rate=300.0, config={"http": {"port": port}, "log": {"level": "info"}})
    connector = stage.start_connector()
    streaming(stage)

    def applied():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return int(float(re.search(r'reloads_total\{result="applied"\} (\S+)', answer.read().decode())[1]))

    def reconnect(level, sessions):
        """With that level, one more session; the levels of the lines that it brought."""
        stage.write_config(log={"level": level})
        connector.send_signal(signal.SIGHUP)
        wait_until(lambda: applied() == sessions - 1, 60, stage.log)
        before = len(stage.log().splitlines())
        stage.control("drop")
        wait_until(lambda: stage.control("stats")["connects"] == sessions, 60, stage.log)
        streaming(stage)
        return {json.loads(line)["level"] for line in stage.log().splitlines()[before:]}

    assert '"debug"' not in stage.log()
    assert reconnect("debug", 2) >= {"debug", "info", "warning"}
    assert reconnect("warning", 3) == {"warning"}
    stage.settle()
    assert stage.stop(connector) == 0


def test_a_changed_password_of_kafka_needs_a_restart_by_name(make_stage, tmp_path):
    password = tmp_path / "kafka-password"
    password.write_text("first")
    password.chmod(0o600)
    stage = make_stage(rate=300.0, config={"kafka": {"property_files": {"sasl.password": str(password)}}})
    connector = stage.start_connector()
    streaming(stage)
    password.write_text("second")
    wait_until(lambda: "only a restart applies kafka.property_files.sasl.password" in stage.log(), 60, stage.log())
    streaming(stage, 50)
    assert "token or credentials read again" not in stage.log()
    stage.settle()
    assert stage.stop(connector) == 0
    assert stage.control("stats")["connects"] == 1


def test_a_configmap_swap_is_noticed(make_stage):
    stage = make_stage(rate=300.0)
    folders = [stage.folder / f"..{at}" for at in (1, 2)]
    for folder, overrides in zip(folders, (ONE, TWO), strict=True):
        folder.mkdir()
        stage.write_config(**overrides)
        (folder / "connector.yaml").write_text(stage.config_file.read_text())
    data = stage.folder / "..data"
    data.symlink_to(folders[0])
    stage.config_file.unlink()
    stage.config_file.symlink_to(data / "connector.yaml")
    connector = stage.start_connector()
    streaming(stage, 20)
    swap = stage.folder / "..swap"
    swap.symlink_to(folders[1])
    swap.replace(data)
    wait_until(lambda: "reloaded" in stage.log(), 60, stage.log())
    streaming(stage, 20)
    stage.settle()
    assert stage.stop(connector) == 0
    assert "agents.agents_online||" in series_of(stage)


@pytest.mark.parametrize("revoked", [False, True], ids=["old token stays", "old token revoked at once"])
def test_a_new_token_opens_a_session_before_the_old_one_ends(make_stage, revoked):
    stage = make_stage(rate=300.0)
    connector = stage.start_connector()
    streaming(stage)
    old = stage.token_file.read_text()
    stage.control("token", token="second-token", role="owner")
    stage.token_file.write_text("second-token")
    if revoked:
        stage.control("revoke", token=old)
    wait_until(lambda: stage.control("stats")["connects"] >= 2, 20, "the second session")
    streaming(stage)
    time.sleep(1.2)
    stage.settle()
    assert stage.stop(connector) == 0
    metrics, gaps = stage.read("metrics"), stage.read("gaps")
    assert check_sequences(metrics) + check_gaps(None, metrics, gaps) == []
    # A revoked token is the control: then the old session cannot wait for the new one.
    lines = [json.loads(line) for line in stage.journal_file.read_text().splitlines()]
    order = [(one["event"], one["connection"]) for one in lines if one["event"] in ("open", "close")]
    assert (order.index(("open", 2)) < order.index(("close", 1))) is not revoked
    first = [g.value for g in gaps if g.value["ended_at"] is not None and g.value["epoch_after"] == 2]
    assert len(first) == 72
    if not revoked:
        assert max((g["ended_at"] - g["started_at"]).total_seconds() for g in first) < 5


def test_a_new_token_that_is_refused_leaves_the_old_session_alone(make_stage):
    stage = make_stage(rate=300.0)
    connector = stage.start_connector()
    streaming(stage)
    stage.token_file.write_text("wrong-token-canary")
    wait_until(lambda: "the new token is not used" in stage.log(), 60, stage.log())
    streaming(stage, 100)
    stage.settle()
    assert stage.stop(connector) == 0
    assert {message.value["epoch"] for message in stage.read("metrics")} == {1}
    assert "wrong-token-canary" not in stage.log()

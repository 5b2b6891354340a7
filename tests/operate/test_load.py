"""Changes while 1,000 updates arrive in each second: what is not changed notices nothing, nothing is lost unseen."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.request

import pytest
from truth import check_gaps, check_record, check_sequences, identity, undeclared
from waiting import wait_until

from connector.config import load
from connector.domain.metrics import BY_NAME, WINDOWS
from connector.local.process import free_port

RATE = 1000.0
SHORT = 2.0
"""Seconds: no gap of a hand-over may be longer. On an idle machine it takes some 0.1 s."""
HANG = 240.0
"""Seconds: a ceiling for what hangs, on a machine that is busy with much else."""
OVERLAP = 30.0
"""Seconds for which the old token stays valid."""
RELOADS = int(os.environ.get("RELOADS", "30"))
"""The gate has time for so many; at most 100."""


def frames(stage):
    return stage.control("stats")["frames"]


def streaming(stage, more=1500):
    target = frames(stage) + more
    wait_until(lambda: stage.alive() and frames(stage) >= target, HANG, f"{more} more frames")


def await_followed(stage, count):
    """Until the source sends so many series to the one open session."""

    def followed():
        return [one["subscriptions"] for one in stage.control("stats")["sessions"]] == [count]

    wait_until(followed, HANG, f"{count} subscriptions")


# The subscriptions.

UNTOUCHED = [{"metrics": ["chats.*", "agents.*"], "windows": [30, 60], "departments": ["all", 1, 2]}]
OTHERS = [
    {"metrics": [name], "departments": [department]} | ({"windows": [window]} if window else {})
    for department in range(3, 9)
    for name, metric in BY_NAME.items()
    for window in (WINDOWS if metric.windowed else (None,))
]


def changed(number):
    """The subscriptions of the nth configuration: one that no earlier one had, and some of those before it.

    None comes back, and no two in a row have as many series.
    """
    return [*UNTOUCHED, *OTHERS[number - number % 2 : number + 2]]


class Watched:
    """A connector whose metrics and status tell what became of a configuration."""

    def __init__(self, stage):
        self.stage = stage
        self.port = free_port()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def reloads(self, result):
        sample = rf'^zendesk_chat_config_reloads_total\{{result="{result}"\}} (\S+)$'
        return int(float(re.search(sample, self.get("/metrics"), re.MULTILINE)[1]))

    def reconfigure(self, connector, subscriptions, *, hang_up):
        """Write the file and wait until it is applied; milliseconds since it was written."""
        config = self.stage.config_file
        self.stage.write_config(subscriptions=subscriptions, http={"port": self.port})
        count = len(load(config, {}).series({}, ()))
        began = time.time()
        if hang_up:
            connector.send_signal(signal.SIGHUP)

        def applied():
            newest = json.loads(self.get("/api/status?series=none"))["reload"]
            return newest is not None and newest["message"] == f"{count} series" and newest["applied"] and newest

        return wait_until(applied, HANG, f"{count} series: {self.stage.log()[-1500:]}")["at_ms"] - began * 1000


def disturbed(stage, untouched):
    """What of the series that every configuration had was lost, repeated, out of order, or in a gap."""
    metrics = [one for one in stage.read("metrics") if one.value["series"] in untouched]
    gaps = [one for one in stage.read("gaps") if one.value["series"] in untouched]
    sent = {place: literal for place, literal in stage.journal().values().items() if place[2] in untouched}
    seen = [identity(one) for one in metrics]
    findings = check_sequences(metrics)
    findings += [f"gap: {one.value['series']} {one.value['reason']}" for one in gaps]
    findings += [f"repeated: {len(seen) - len(set(seen))}"] if len(seen) > len(set(seen)) else []
    findings += [f"lost: {place}" for place in sent if place not in set(seen)]
    findings += [text for one in metrics for text in check_record(one, sent.get(identity(one)))]
    connects = stage.control("stats")["connects"]
    return findings + ([f"{connects} sessions"] if connects != 1 else [])


def names(subscriptions, stage):
    stage.write_config(subscriptions=subscriptions)
    return {one.name for one in load(stage.config_file, {}).series({}, ())}


def prepared(make_stage, how):
    stage = make_stage(rate=RATE, departments=8, config={"source": {"unsubscribe": how}})
    watched = Watched(stage)
    untouched = names(UNTOUCHED, stage)
    stage.write_config(subscriptions=UNTOUCHED, http={"port": watched.port})
    connector = stage.start_connector()
    streaming(stage, 500)
    return stage, watched, connector, untouched


@pytest.mark.parametrize("how", ["polite", "exact"])
def test_reloads_under_load_disturb_nothing_that_stays(make_stage, how):
    stage, watched, connector, untouched = prepared(make_stage, how)
    began, before = time.monotonic(), frames(stage)
    times = [
        # Every tenth one is noticed by looking at the file alone, which takes up to a second.
        watched.reconfigure(connector, changed(number), hang_up=number % 10 != 0)
        for number in range(1, RELOADS + 1)
    ]
    rate = (frames(stage) - before) / (time.monotonic() - began)
    streaming(stage)
    assert watched.reloads("applied") >= RELOADS
    assert watched.reloads("refused") == 0
    stage.settle()
    assert disturbed(stage, untouched) == []
    rows = {one.value["series"]: one.value["state"] for one in stage.read("offsets")}
    for number in range(1, RELOADS + 1):
        newest = names(changed(number), stage) - untouched
        assert newest <= rows.keys(), "a configuration was skipped"
    assert {one for one in rows if one != "#shard" and rows[one] == "active"} == untouched | newest
    audit = stage.command("verify", "-c", str(stage.config_file), check=False)
    assert audit.returncode == 0, audit.stdout
    assert stage.stop(connector) == 0
    asked = sorted(at for number, at in enumerate(times, 1) if number % 10)
    print(f"\n{RELOADS} reloads, {how}, at {rate:.0f} frames/s: SIGHUP to applied {asked[len(asked) // 2]:.0f} ms")


def test_control_a_reload_that_takes_a_new_session_is_found(make_stage):
    """What was unsubscribed at the source and comes back needs a new session, so that no older value of it counts."""
    stage, watched, connector, untouched = prepared(make_stage, "exact")
    # What the source never heard of may come back on the same session: each step has to reach it.
    for subscriptions in (changed(1), UNTOUCHED):
        watched.reconfigure(connector, subscriptions, hang_up=True)
        count = len(load(stage.config_file, {}).series({}, ()))
        await_followed(stage, count)
        streaming(stage, 300)
    watched.reconfigure(connector, changed(1), hang_up=True)
    wait_until(lambda: stage.control("stats")["connects"] >= 2, HANG, "a second session")
    streaming(stage, 300)
    stage.settle()
    found = disturbed(stage, untouched)
    assert stage.stop(connector) == 0
    assert {text.partition(":")[0] for text in found} >= {"gap", "2 sessions"}, found


# The token.


@pytest.mark.parametrize("overlap", [OVERLAP, 0.0], ids=["old token valid for 30 s", "old token revoked at once"])
def test_a_rotation_under_load_misses_only_what_a_short_gap_declares(make_stage, overlap):
    stage = make_stage(rate=RATE)
    connector = stage.start_connector()
    streaming(stage)
    old = stage.token_file.read_text()
    stage.control("token", token="second-token", role="owner")
    stage.token_file.write_text("second-token")
    began = time.monotonic()
    if not overlap:
        stage.control("revoke", token=old)
    wait_until(lambda: stage.control("stats")["connects"] >= 2, HANG, "the second session")
    if overlap:
        wait_until(lambda: stage.alive() and time.monotonic() - began > overlap, overlap + HANG, "the old token's end")
        connects = stage.control("stats")["connects"]
        stage.control("revoke", token=old)
        assert connects == 2
    streaming(stage)
    stage.settle()
    connects = stage.control("stats")["connects"]
    metrics, gaps = stage.read("metrics"), stage.read("gaps")
    assert stage.stop(connector) == 0
    assert check_sequences(metrics) + check_gaps(None, metrics, gaps) == []
    assert undeclared(stage.journal(), metrics, gaps) == []
    seen = [identity(one) for one in metrics]
    assert len(seen) == len(set(seen))
    final = [one.value for one in gaps if one.value["ended_at"] is not None]
    assert {(one["series"], one["epoch_after"]) for one in final} >= {(one.value["series"], 2) for one in metrics}
    reasons = {one["reason"] for one in final}
    if overlap:
        # One hand-over, and the end of the old token is no event at all.
        assert (connects, reasons, len(final)) == (2, {"replaced"}, 72)
    else:
        assert reasons <= {"auth", "disconnect", "replaced"}
    lengths = [(one["ended_at"] - one["started_at"]).total_seconds() for one in final]
    print(f"\nrotation at {RATE:.0f}/s, overlap {overlap:.0f} s: {len(final)} gaps, the longest {max(lengths):.2f} s")
    assert max(lengths) < SHORT

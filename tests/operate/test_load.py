"""A new token while 1,000 updates arrive in each second: nothing is lost unseen."""

from __future__ import annotations

import pytest
from truth import check_gaps, check_sequences, undeclared
from waiting import wait_until

RATE = 1000.0
HANG = 20.0
"""Seconds: a ceiling for a hand-over that hangs; how long it takes is printed."""


def frames(stage):
    return stage.control("stats")["frames"]


@pytest.mark.parametrize("revoked", [False, True], ids=["old token stays", "old token revoked at once"])
def test_a_rotation_under_load_misses_only_what_a_short_gap_declares(make_stage, revoked):
    stage = make_stage(rate=RATE)
    connector = stage.start_connector()
    wait_until(lambda: stage.alive() and frames(stage) > 1500, 60, stage.log())
    old = stage.token_file.read_text()
    stage.control("token", token="second-token", role="owner")
    stage.token_file.write_text("second-token")
    if revoked:
        stage.control("revoke", token=old)
    wait_until(lambda: stage.control("stats")["connects"] >= 2, 20, "the second session")
    more = frames(stage) + 1500
    wait_until(lambda: stage.alive() and frames(stage) >= more, 60, stage.log()[-1500:])
    stage.control("revoke", token=old)
    stage.settle()
    assert stage.stop(connector) == 0
    metrics, gaps = stage.read("metrics"), stage.read("gaps")
    assert check_sequences(metrics) + check_gaps(None, metrics, gaps) == []
    assert undeclared(stage.journal(), metrics, gaps) == []
    seen = [(one.value["session_id"], one.value["frame"], one.value["series"]) for one in metrics]
    assert len(seen) == len(set(seen))
    final = [one.value for one in gaps if one.value["ended_at"] is not None and one.value["epoch_after"] == 2]
    assert {one["reason"] for one in final} <= ({"auth", "disconnect", "replaced"} if revoked else {"replaced"})
    lengths = [(one["ended_at"] - one["started_at"]).total_seconds() for one in final]
    print(f"\nrotation at {RATE:.0f}/s, revoked {revoked}: {len(final)} gaps, the longest {max(lengths):.2f} s")
    assert len(final) == 72
    assert max(lengths) < HANG

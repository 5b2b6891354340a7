"""The kcat one-liners as they stand: keys, headers, schema ids, tombstones, and an end at the end of the topic."""

from __future__ import annotations

import os
import shutil

import pytest
from consume.engines import KCAT, finish
from consume.readme import EXAMPLES


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
def test_every_line_gives_what_it_says(golden):
    environment = {**os.environ, **golden.environment}
    printed = finish(KCAT, environment, EXAMPLES / "kcat")
    parts = [part.splitlines() for part in printed.split("# ")[1:]]
    updates, first, ids, removed, gaps, through, uncommitted = (part[1:] for part in parts)
    assert sum(int(line.split()[0]) for line in updates) == golden.expected["metrics"]["rows"]
    assert {tuple(line.split()[1:]) for line in updates} >= {("0", "all"), ("3", "1"), ("2", "36000012345683")}
    assert first[0].startswith("1793610001092 all ce_specversion=1.0,ce_id=acme/chats.incoming_chats||/1/1,")
    assert {line.split()[2] for line in ids} == {str(golden.ids[1]), str(golden.ids[6])}
    assert len(removed) == 18
    assert all(name.endswith("|3") for name in removed)
    assert {tuple(line.split()[1:]) for line in gaps} >= {("all", "open"), ("all", "final")}
    assert through == ["1793613596186"]
    assert uncommitted == ["0"]


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
def test_it_ends_behind_aborted_records_and_counts_them(death):
    printed = finish(KCAT, {**os.environ, **death.golden.environment}, EXAMPLES / "kcat")
    assert printed.splitlines()[-1] == str(death.extras)

"""`verify --watch` reads along while one of two owners dies."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from faults.pair import COMMAND
from waiting import wait_until

if TYPE_CHECKING:
    from faults.pair import Pair

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


def test_watching_two_shards_finds_nothing_while_an_owner_dies(make_pair, make_run):
    """SIGKILL of the owner of one of two shards, verify --watch beside"""
    pair = make_pair(kafka={"shards": 2})
    pair.start_both()
    wait_until(lambda: len(set(owners(pair).values())) == 2, what="an owner for each shard")
    run = make_run(pair, "SIGKILL of the owner of one of two shards")
    watch = ["verify", "--watch", "--json", "--interval", "0.5", "--port", "0", "--config", str(pair.config_file)]
    watcher = subprocess.Popen([*COMMAND, *watch], stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(watcher.stdout.readline())["event"] == "started"
        run.fault()
        pair.kill("first")
        wait_until(lambda: set(owners(pair).values()) == {"second"}, what="one owner of both shards")
        run.recovered()
        pair.start("first")
        wait_until(lambda: len(set(owners(pair).values())) == 2, what="an owner for each shard again")
        pair.wait_for_commits(200)
        assert run.judge().faults == []
    finally:
        watcher.send_signal(signal.SIGTERM)
        output = watcher.communicate(timeout=60)[0]
    found = [json.loads(line) for line in output.splitlines()]
    assert [one for one in found if one["event"] == "finding"] == []
    assert watcher.returncode == 0


def owners(pair: Pair) -> dict[int, str]:
    """Who wrote the newest transaction of each shard; partition n of offsets is shard n's."""
    return {one.partition: one.value["owner"] for one in pair.audit.rows()}

"""Kafka Streams is killed with a transaction open and started again: every update is written once."""

from __future__ import annotations

import contextlib
import subprocess
from collections import Counter

from consume import engines, streams
from consume.arrivals import Again, recorded
from consume.golden import load
from consume.killed import kill_inside
from consume.reading import read
from figures import tell

ACCOUNTS = [f"copy-{number}" for number in range(4)]
"""More to do than it can have done when it is killed."""
SOME = 1000
"""Rows after which it is killed."""


def test_every_update_is_written_once_over_a_kill(kafka_bootstrap, registry_url, tmp_path):
    hour = load(kafka_bootstrap, registry_url)
    streams.make_topics(hour)
    again = Again(hour)
    for account in ACCOUNTS:
        again.write("gaps", account)
        again.write("metrics", account)
    wanted = len(recorded("metrics")) * (len(ACCOUNTS) + 1)
    topic = f"{hour.prefix}.metrics-with-gaps"
    env, there = engines.java_environment(hour, tmp_path), engines.place("streams", tmp_path)
    output = streams.Output(hour)
    with contextlib.closing(output):
        killed = subprocess.Popen(["bash", "-c", f"exec {engines.STREAMS}"], env=env, cwd=there)
        try:
            engines.wait_until(lambda: len(output.rows()) > SOME, "first rows")
            kill_inside(killed, hour.kafka, topic)
        finally:
            killed.kill()
            killed.wait()
        before = len(output.rows())
        assert before < wanted, "there was something left to do"
        with engines.running(engines.STREAMS, env, there):
            engines.wait_until(lambda: len(output.rows()) >= wanted, "every update")
        rows = output.rows()
    assert len(rows) == wanted
    assert set(Counter((row["account"], row["series"], row["sequence"]) for row in rows).values()) == {1}
    aborted = len(read(hour.kafka, topic, isolation="read_uncommitted")) - wanted
    tell(
        f"Kafka Streams, killed after {before:,} of {wanted:,} updates: each is written once, {aborted:,} were aborted"
    )
    assert aborted > 0, "negative control: an uncommitted reader sees some twice"

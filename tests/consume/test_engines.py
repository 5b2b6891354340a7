"""One golden set, six readers, the same rows: Python's own is in test_python.py, the other five are here.

Each engine starts once and answers all that is asked of it: the golden rows, with the field of version 2 where it knows
it; its view of a compacted `latest`; and what it sees of topics whose owner was killed.
"""

from __future__ import annotations

import pytest
from consume import digest, engines, streams
from consume.arrivals import LATER, decoded, recorded
from consume.streams import EARLY, LATE, ORPHAN


@pytest.fixture(scope="module")
def with_later():
    """The digest of the golden rows with the field of version 2; both versions are among them."""
    lines = recorded("metrics")
    assert {one["version"] for one in lines} == {1, 2}
    assert len({one["json"].get("department_name") for one in lines}) > 3
    return digest.digest((one["json"] for one in lines), LATER)


def test_spark(spark, compacted, with_later):
    found, seconds = spark
    rows = found["golden"]["metrics"]
    assert digest.report("spark", rows, seconds) == compacted.expected["metrics"]
    assert digest.digest(rows, LATER) == with_later
    averages = found["golden"]["averages"]
    assert averages
    assert all(row["updates"] > 0 for row in averages)


def test_spark_reads_what_was_committed_before_and_after_a_kill(spark, death):
    found, _ = spark
    assert digest.digest(found["committed"]["metrics"]) == digest.digest(death.rows)
    assert len(found["uncommitted"]["metrics"]) == len(death.rows) + death.extras


def test_flink(flink, compacted, with_later):
    (rows, views), seconds = flink
    assert digest.report("flink", rows["rows"], seconds) == compacted.expected["metrics"]
    assert digest.digest(rows["rows-second"], LATER) == with_later
    latest = list(engines.newest(views["latest"]).values())
    assert digest.report("flink, latest", latest, seconds) == compacted.expected["latest"]
    check_averages(views["averages"], rows["rows"])


def check_averages(changes, rows):
    assert {op for op, _ in changes} == {"+I"}
    assert sum(row["updates"] for _, row in changes) == len(rows)
    for _, row in changes:
        assert row["window_start"] < row["window_end"]
    assert any(row["average"] is not None for _, row in changes)


def test_flink_reads_what_was_committed_before_and_after_a_kill(flink, death):
    (rows, _), _ = flink
    assert digest.digest(rows["rows-committed"]) == digest.digest(death.rows)
    assert len(rows["rows-uncommitted"]) == len(death.rows) + death.extras


def test_kafka_streams(streamed, compacted, with_later):
    rows = streams.of(streamed.rows, "acme")
    assert digest.report("streams", rows, streamed.seconds) == compacted.expected["metrics"]
    assert digest.digest(rows, LATER) == with_later
    state = list(streamed.state.values())
    assert digest.report("streams, latest", state, streamed.seconds) == compacted.expected["latest"]
    assert streams.gaps_of(streamed.state) == streams.newest_gaps()
    still_open = [key for key, (_, ended) in streams.newest_gaps().items() if ended is None]
    assert still_open == ["acme/agents.agents_invisible||36000012345685"]


@pytest.mark.parametrize("account", ["acme", LATE, EARLY])
def test_every_update_has_the_gap_that_its_epoch_began_with(streamed, account):
    rows = streams.of(streamed.rows, account)
    assert len(rows) == len({(row["series"], row["sequence"]) for row in rows}) == len(recorded("metrics"))
    for row in rows:
        if row["epoch"] == 1:
            assert row["gap"] is None
        else:
            gap = row["gap"]
            assert (gap["account"], gap["series"], gap["epoch_after"]) == (account, row["series"], row["epoch"])
            assert gap["ended_at"] is not None
    print(f"streams, {account}: {sum(row['epoch'] > 1 for row in rows)} updates joined with their gap, all")


def test_an_update_waits_for_its_gap_and_those_behind_it_wait_too(streamed):
    """Negative control of the order of arrival: without gaps nothing behind the first epoch came."""
    for rows in (streamed.held, streamed.orphans):
        assert rows
        assert {row["epoch"] for row in rows} == {1}
    rows = streams.of(streamed.rows, LATE)
    series = {}
    for row in rows:
        assert row["sequence"] == series.get(row["series"], row["sequence"] - 1) + 1
        series[row["series"]] = row["sequence"]


def test_a_gap_that_is_gone_holds_nothing_back_for_ever_not_even_over_a_restart(streamed):
    rows = streams.of(streamed.rows, ORPHAN)
    assert {row["epoch"] for row in rows} == {1, 2}
    assert all(row["gap"] is None for row in rows)


def test_streams_shows_its_topology(streamed, written):
    printed = streamed.printed
    assert "gaps-by-series-repartition" in printed
    assert "metrics-by-series-repartition" in printed
    shown = (engines.EXAMPLES / "streams" / "topology.txt").read_text()
    assert printed.replace(written.prefix, "zendesk.chat") == shown


def test_console_consumer(console, compacted, with_later):
    values, seconds = console
    rows = decoded(compacted, values)
    assert digest.report("console consumer", rows, seconds) == compacted.expected["metrics"]
    assert digest.digest(rows, LATER) == with_later


def test_pyiceberg(lakehouse, compacted, with_later):
    (printed, rows), seconds = lakehouse
    assert digest.report("pyiceberg", rows, seconds) == compacted.expected["metrics"]
    assert digest.digest(rows, LATER) == with_later
    assert "department_id" in printed[0]
    assert printed[1].startswith("0 rows copied"), "a second call goes on where the table ends"


def test_pyiceberg_ends_behind_aborted_records_and_copies_none(lakehouse_of_death, death):
    _, rows = lakehouse_of_death
    assert digest.digest(rows) == digest.digest(death.rows)

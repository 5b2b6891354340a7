"""One golden set, six readers, the same rows: Python's own is in test_python.py, the other five are here.

Each engine starts once and answers all that is asked of it: the golden rows, with the field of version 2 where it knows
it; its view of a compacted `latest`; and what it sees of topics whose owner was killed.
"""

from __future__ import annotations

from collections import Counter

import pytest
from consume import averages, digest, engines, streams, tables
from consume.arrivals import LATER, decoded, recorded
from consume.compaction import expected_left, removed
from consume.promised import seen
from consume.report import compare
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
    rows = found["metrics"]
    assert compare("Spark", rows, seconds, compacted.expected["metrics"], ", with averages")
    assert digest.digest(rows, LATER) == with_later
    # Its watermark follows the updates alone, so the last windows are still open.
    closed = averages.closed(averages.expected())
    assert len(closed) > 500
    assert averages.different(averages.found(found["averages"], "start"), closed) == []


def test_spark_reads_what_was_committed_before_and_after_a_kill(spark_of_death, death):
    check_committed(spark_of_death["committed"]["metrics"], spark_of_death["uncommitted"]["metrics"], death)


def check_committed(committed, uncommitted, death):
    """A committed reader sees what the source sent less the declared gaps; the other one more, and nothing less."""
    assert seen(committed) == death.promised
    assert digest.digest(committed) == digest.digest(death.rows)
    everything, promised = Counter(seen(uncommitted)), Counter(death.promised)
    assert (everything - promised).total() == death.extras > 0
    assert promised - everything == Counter()


def test_flink(flink, compacted, with_later):
    (rows, views), seconds = flink
    assert compare("Flink SQL", rows["rows"], seconds, compacted.expected["metrics"], ", ten more queries beside it")
    assert digest.digest(rows["rows-second"], LATER) == with_later
    latest = list(engines.newest(views["latest"]).values())
    assert compare("Flink SQL", latest, seconds, compacted.expected["latest"], ", upsert-kafka of latest")


def test_flink_averages_are_those_of_arithmetic(flink):
    (_, views), _ = flink
    changes = views["averages"]
    assert {op for op, _ in changes} == {"+I"}
    found = averages.found((row for _, row in changes), "window_start")
    assert averages.different(found, averages.expected()) == []
    # Negative control: a null that counts as 0 would show.
    assert len(averages.different(found, averages.expected(null=averages.ZERO))) > 10


@pytest.mark.parametrize("table", tables.TOPICS)
def test_flink_reads_every_column_of_every_table(flink, table):
    (_, views), _ = flink
    changes = views[table]
    if table in tables.UPSERTS:
        assert "-D" not in {op for op, _ in changes}, "no tombstones there"
        rows = list(engines.newest(changes).values())
    else:
        assert {op for op, _ in changes} == {"+I"}
        rows = [row for _, row in changes]
    expected = tables.expected(table)
    assert len(expected) > 3
    assert tables.found(table, rows) == expected


def test_a_tombstone_removes_a_row_of_upsert_kafka(flink):
    (_, views), seconds = flink
    changes = views["bereft"]
    rows = list(engines.newest(changes).values())
    assert compare("Flink SQL", rows, seconds, expected_left(), ", upsert-kafka after tombstones")
    assert {row["k"] for op, row in changes if op == "-D"} == set(removed())
    # Negative control: without the tombstones they are there.
    before = engines.newest([change for change in changes if change[0] != "-D"])
    assert set(removed()) <= set(before)


def test_flink_reads_what_was_committed_before_and_after_a_kill(flink, death):
    (rows, _), _ = flink
    check_committed(rows["rows-committed"], rows["rows-uncommitted"], death)


def test_kafka_streams(streamed, compacted, with_later):
    rows = streams.of(streamed.rows, "acme")
    assert compare("Kafka Streams", rows, streamed.seconds, compacted.expected["metrics"])
    assert digest.digest(rows, LATER) == with_later
    state = list(streamed.state.values())
    assert compare("Kafka Streams", state, streamed.seconds, compacted.expected["latest"], ", KTable of latest")
    assert streams.gaps_of(streamed.state) == streams.newest_gaps()
    still_open = [key for key, (_, ended) in streams.newest_gaps().items() if ended is None]
    assert still_open == ["acme/agents.agents_invisible||36000012345685"]


def test_a_tombstone_removes_a_row_of_a_ktable(streamed):
    left = list(streamed.left.values())
    assert compare("Kafka Streams", left, streamed.seconds, expected_left(), ", KTable after tombstones")
    assert set(streamed.state) - set(streamed.left) == set(removed())


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
    assert "metrics-and-gaps-by-series-repartition" in printed
    shown = (engines.EXAMPLES / "streams" / "topology.txt").read_text()
    assert printed.replace(written.prefix, "zendesk.chat") == shown


def test_console_consumer(console, compacted, with_later):
    values, seconds = console
    rows = decoded(compacted, values)
    assert compare("console consumer", rows, seconds, compacted.expected["metrics"], ", 15 s of them its wait for more")
    assert digest.digest(rows, LATER) == with_later


def test_pyiceberg(lakehouse, compacted, with_later):
    (printed, rows), seconds = lakehouse
    assert compare("PyIceberg", rows, seconds, compacted.expected["metrics"], ", called twice")
    assert digest.digest(rows, LATER) == with_later
    assert averages.printed(printed[0]) == averages.by_department(20)
    assert printed[1].startswith("0 rows copied"), "a second call goes on where the table ends"


def test_pyiceberg_ends_behind_aborted_records_and_copies_none(lakehouse_of_death, death):
    _, rows = lakehouse_of_death
    assert seen(rows) == death.promised
    assert digest.digest(rows) == digest.digest(death.rows)


def test_no_reader_asks_the_registry_for_associations(spark, flink, streamed, lakehouse, lakehouse_of_death, asked):
    """Some registries answer 405, some 500. The control is in test_python_examples: the client's own default fails."""
    assert {"schemas", "subjects"} <= {path.split("/")[1] for path in asked}
    assert [path for path in asked if "associations" in path] == []

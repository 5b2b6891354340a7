"""The journal on disk, and a publisher that dies while Kafka is away."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from connector.adapters.journal import Journal
from connector.domain.events import Rejected, Updated
from connector.domain.model import Entry, GapClosed, GapOpened, OpenGap, Series, SourceOffset, Subscribed
from connector.errors import LocalError

sys.path.insert(0, str(Path(__file__).parent.parent / "unit" / "runtime"))

from test_publisher import SERIES, FlakySink, Log, publisher

OFFSET = SourceOffset(SERIES, "active", 2, 7, 1.5, "1.50", 1_000, "s", OpenGap(5, "disconnect", "why"))
ITEMS = [
    Subscribed(OFFSET),
    Entry(SERIES, 2, 8, None, None, "update", 2_000, "s", 3),
    GapOpened(OFFSET, OpenGap(5, "disconnect")),
    GapClosed(OFFSET, OpenGap(5, "disconnect"), 1.0, None, 9, True, 3),
    Rejected("nesting", "m", b"\xff\x00", (SERIES, Series("chats", "active_chats")), "s", 4, 5_000),
]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "folder" / "acme-0.journal"


def test_every_kind_of_item_comes_back_as_it_was(file):
    journal = Journal(file)
    journal.begin(("me", 3), ("me", 4))
    for item in ITEMS:
        journal.append(item)
    journal.close()
    again = Journal(file)
    assert again.owners() == {("me", 3), ("me", 4)}
    assert [item for _, item in again.items()] == ITEMS
    assert again.load(1, 2) == ITEMS[1:3]
    again.release(3)
    assert again.load(0, 9) == ITEMS[3:]
    again.end()
    assert again.owners() == set()
    again.close()


def test_a_file_whose_entries_have_no_owner_is_begun_anew(file):
    """As an earlier build left it, which kept its owner elsewhere in the same file."""
    file.parent.mkdir()
    with sqlite3.connect(file) as raw:
        raw.execute("create table owner (one integer primary key, name text, epoch integer)")
        raw.execute("create table entry (id integer primary key, crc integer not null, item blob not null)")
        raw.execute("insert into owner values (1, 'me', 1)")
        raw.execute("insert into entry (crc, item) values (0, x'00')")
    raw.close()
    log = Log()
    asyncio.run(restart(file, log, [1]))
    assert published(log) == [(1, 1)]
    asyncio.run(crash_while_kafka_is_away(file, log, range(2, 6)))
    assert Journal(file).owners() != set()


def test_only_its_owner_can_read_the_file(file):
    Journal(file).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_damaged_entry_is_told_apart(file):
    journal = Journal(file)
    journal.begin(("me", 1))
    for item in ITEMS:
        journal.append(item)
    journal.close()
    with sqlite3.connect(file) as raw:
        raw.execute("update entry set item = substr(item, 1, 5) || x'00' where id = 2")
    raw.close()
    again = Journal(file)
    assert [item is None for _, item in again.items()] == [False, True, False, False, False]
    with pytest.raises(LocalError, match="damaged"):
        again.load(0, 5)
    again.close()


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it():
    with pytest.raises(LocalError, match=r"buffer\.disk\.path: /proc/nowhere"):
        Journal(Path("/proc/nowhere/acme-0.journal"))


def update(value, owner="me"):
    return Updated(SERIES, float(value), str(value), owner, value, 1_000_000 + value)


async def crash_while_kafka_is_away(file, log, values, *, synced=True, away=("lost",)):
    """Publish one value, lose Kafka, receive the others, die without a word."""
    sink = FlakySink(log, ["ok", "ok", "ok", *away[:-1]], otherwise=away[-1])
    one = publisher(sink, [], journal=Journal(file), sync_interval=0.005, memory=10)
    one._backoff._initial = one._backoff._maximum = 0.005
    await one.acquire([SERIES])
    running = asyncio.create_task(one.run())
    one.subscribe([SERIES])
    one.admit(update(1))
    while not log.values("z.metrics") or sink.outcomes:
        await asyncio.sleep(0.002)
    while not one._disk._journal.recording:
        await asyncio.sleep(0.002)
    for value in values:
        one.admit(update(value))
    if synced:
        while one._disk._journal._pending:
            await asyncio.sleep(0.005)
    one._disk._journal._pending.clear()
    running.cancel()
    one._disk._syncing.cancel()
    await asyncio.gather(running, one._disk._syncing, return_exceptions=True)
    one._disk._journal._file.close()


async def restart(file, log, values=(), owner="me"):
    one = publisher(FlakySink(log), [], owner=owner, journal=Journal(file), memory=10)
    await one.acquire([SERIES])
    running = asyncio.create_task(one.run())
    one.subscribe([SERIES])
    for value in values:
        one.admit(update(value, "second"))
    one.drain()
    await asyncio.wait_for(running, 10)
    await one.shut()


def published(log):
    return [(row["sequence"], row["value"]) for row in log.values("z.metrics")]


def test_what_the_disk_has_is_published_once_after_a_crash(file):
    log = Log()
    asyncio.run(crash_while_kafka_is_away(file, log, range(2, 60)))
    before = len(published(log))
    asyncio.run(restart(file, log, [60]))
    assert published(log) == [(value, value) for value in range(1, 61)]
    final = [row for row in log.values("z.gaps") if row["ended_at"] is not None]
    assert [(row["reason"], row["last_sequence_before"]) for row in final] == [("restart", 59)]
    last = log.values("z.beats")[-1]
    assert last["values_received_total"] == last["records_total"] == 60 - before


@pytest.mark.parametrize("away", [("hangs",), ("lands",), ("lost", "hangs"), ("lost", "lands")])
def test_what_waits_for_a_commit_without_an_answer_is_on_disk(file, away):
    log = Log()
    asyncio.run(crash_while_kafka_is_away(file, log, range(2, 60), away=away))
    asyncio.run(restart(file, log, [60]))
    assert published(log) == [(value, value) for value in range(1, 61)]


def test_a_shard_that_the_group_took_away_is_on_disk(file):
    async def main():
        one = publisher(FlakySink(Log()), [], journal=Journal(file), sync_interval=60)
        await one.acquire([SERIES])
        assert not one._disk._journal.recording
        one.pause()
        one.admit(update(1))
        one._disk._syncing.cancel()
        one._disk._journal.sync()
        return [item for _, item in one._disk._journal.items() if isinstance(item, Entry)]

    assert [entry.value for entry in asyncio.run(main())] == [1.0]


def test_what_the_disk_does_not_have_is_inside_the_gap(file):
    log = Log()
    asyncio.run(crash_while_kafka_is_away(file, log, range(2, 60), synced=False))
    asyncio.run(restart(file, log, [60]))
    values = published(log)
    assert values[-1][1] == 60
    assert [sequence for sequence, _ in values] == list(range(1, len(values) + 1))


def test_a_journal_whose_owner_was_followed_by_another_is_discarded(file):
    log = Log()
    asyncio.run(crash_while_kafka_is_away(file, log, range(2, 60)))
    asyncio.run(restart(file.with_name("other.journal"), log, [100], owner="other"))
    asyncio.run(restart(file, log, [101]))
    assert published(log) == [(1, 1), (2, 100), (3, 101)]


def test_after_a_damaged_entry_the_rest_of_the_series_is_given_up_and_declared(file):
    log = Log()
    asyncio.run(crash_while_kafka_is_away(file, log, range(2, 60)))
    with sqlite3.connect(file) as raw:
        raw.execute("update entry set item = x'00' where id = (select id from entry order by id limit 1 offset 20)")
    raw.close()
    asyncio.run(restart(file, log, [60]))
    values = published(log)
    assert values[-1][1] == 60
    assert [sequence for sequence, _ in values] == list(range(1, len(values) + 1))
    assert len(values) < 59
    assert {row["reason"] for row in log.values("z.gaps")} == {"journal"}


def test_with_the_journal_on_a_short_outage_loses_and_repeats_nothing(file):
    log = Log()

    async def main():
        sink = FlakySink(log, ["ok", *["lost", "late"] * 20])
        one = publisher(sink, [], journal=Journal(file), memory=10)
        await one.acquire([SERIES])
        running = asyncio.create_task(one.run())
        one.subscribe([SERIES])
        for value in range(1, 200):
            one.admit(update(value))
            if value % 10 == 0:
                await asyncio.sleep(0.001)
        one.drain()
        await asyncio.wait_for(running, 20)
        await one.shut()

    asyncio.run(main())
    assert published(log) == [(value, value) for value in range(1, 200)]
    assert Journal(file).owners() == set()

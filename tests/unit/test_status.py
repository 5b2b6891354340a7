"""The fold of events into a status, over a scripted incident; what is told of it in one word."""

from status_feed import SECOND, Feed, gap

from connector.domain.events import Closed, Committed, Failed, Noticed, Ponged, Refused, Updated, Yielded
from connector.domain.health import DEGRADED, DOWN, OK, STANDBY, health, promise
from connector.domain.incidents import KEPT
from connector.domain.model import Batch, Beat, OpenGap, Retired, Series, SourceOffset
from connector.domain.standing import POINTS
from connector.domain.status import COMMITS, LETTERS, Status, advance

ONE = Series("chats", "missed_chats", 30, 5)
TWO = Series("agents", "agents_online")
START = 1_700_000_000 * SECOND


def make():
    status = Status(START)
    return status, Feed(lambda event: advance(status, event), now_us=START)


def level(status, now_us):
    return health(status, now_us, heartbeat_us=SECOND).level


def running():
    status, feed = make()
    feed.acquire()
    feed.open()
    feed.commit(feed.subscribed(ONE), feed.subscribed(TWO))
    feed.commit(feed.entry(ONE, 1.0, "initial"), feed.entry(TWO, 7.0, "initial"))
    return status, feed


def test_it_begins_as_a_standby_without_a_session():
    status, _ = make()
    assert (status.role, status.link, status.unlinked.reason) == ("standby", None, "start")
    assert level(status, START) == STANDBY


def test_a_whole_incident():
    status, feed = running()
    assert (status.role, level(status, feed.now_us)) == ("owner", OK)
    feed.wait(5)
    lost = gap(feed.now_us)
    feed.close()
    assert level(status, feed.now_us) == DEGRADED
    assert level(status, feed.now_us + 31 * SECOND) == DOWN
    feed.emit(Refused("disconnect", "no route", 4.0, feed.now_us))
    assert status.unlinked[1:] == (1, "disconnect", "no route", feed.now_us + 4 * SECOND)

    feed.commit(feed.gap_opened(ONE, lost), feed.gap_opened(TWO, lost))
    assert status.rows[ONE].gap == lost
    feed.wait(2)
    feed.open("s2")
    feed.commit(feed.gap_closed(ONE, lost), feed.entry(ONE, 2.0, "resync"))
    assert health(status, feed.now_us, heartbeat_us=SECOND).message.startswith("1 series have an open gap")
    (incident,) = status.incidents.newest()
    assert (incident.series, incident.open, incident.longest_us) == (2, 1, 2 * SECOND)

    feed.commit(feed.gap_closed(TWO, lost))
    assert level(status, feed.now_us) == OK
    assert incident.open == status.incidents.open_now == 0
    assert status.incidents.closed == {"disconnect": 2}
    assert status.incidents.microseconds == {"disconnect": 4 * SECOND}
    assert (status.rows[ONE].value, status.rows[ONE].sequence, status.rows[ONE].epoch) == (2.0, 2, 2)
    assert (status.rows[TWO].value, status.rows[TWO].sequence, status.rows[TWO].epoch) == (7.0, 1, 2)


def test_a_gap_that_opens_and_closes_in_one_batch():
    status, feed = running()
    lost = gap(feed.now_us)
    feed.commit(feed.gap_opened(ONE, lost), feed.gap_closed(ONE, lost), feed.entry(ONE, 3.0))
    assert status.incidents.opened == status.incidents.closed == {"disconnect": 1}
    assert status.rows[ONE].gap is None


def test_a_final_gap_alone_counts_as_opened():
    status, feed = running()
    feed.commit(feed.gap_closed(ONE, gap(feed.now_us, "overflow")))
    assert status.incidents.opened == status.incidents.closed == {"overflow": 1}


def test_kafka_away_and_back():
    status, feed = running()
    feed.emit(Failed(0, "Kafka: transaction: timed out", feed.now_us))
    feed.emit(Failed(0, "Kafka: no broker", feed.now_us + SECOND))
    assert (status.failing[0].times, status.failing[0].since_us, status.failed) == (2, feed.now_us, 2)
    assert level(status, feed.now_us + SECOND) == DEGRADED
    assert level(status, feed.now_us + 31 * SECOND) == DOWN
    feed.commit()
    assert level(status, feed.now_us) == OK


def test_silent_heartbeats_are_noticed_even_without_an_error():
    status, feed = running()
    assert level(status, feed.now_us + 6 * SECOND) == OK
    assert level(status, feed.now_us + 8 * SECOND) == DEGRADED
    assert level(status, feed.now_us + 40 * SECOND) == DOWN


def test_a_shard_that_is_yielded_takes_its_series_along():
    status, feed = running()
    lost = gap(feed.now_us)
    feed.commit(feed.gap_opened(ONE, lost))
    feed.emit(Yielded(0, "revoked", feed.now_us))
    assert (status.role, status.rows, status.incidents.open_now) == ("standby", {}, 0)


def test_a_retired_series_goes():
    status, feed = running()
    layout = status.layout
    feed.commit(Retired(SourceOffset(ONE, "removed", 1, 1), feed.now_us))
    assert list(status.rows) == [TWO]
    assert status.layout == layout + 1


def test_a_sparkline_has_one_point_a_second_and_an_end():
    status, feed = running()
    for number in range(100):
        feed.wait(0.5)
        feed.commit(feed.entry(ONE, float(number)))
    points = list(status.rows[ONE].points)
    assert len(points) == POINTS
    assert points[-1] == 99.0
    assert points[-1] - points[0] == 2.0 * (POINTS - 1) - 1.0


def test_of_many_values_in_a_batch_the_newest_is_shown():
    status, feed = running()
    feed.commit(*(feed.entry(ONE, float(number)) for number in range(10)))
    assert (status.rows[ONE].value, status.rows[ONE].sequence, status.updates) == (9.0, 11, 12)


def test_everything_is_bounded():
    status, feed = running()
    for number in range(500):
        feed.wait(1.5)
        lost = gap(feed.now_us)
        feed.commit(feed.gap_opened(ONE, lost), feed.gap_closed(ONE, lost), feed.rejected(f"reason-{number % 3}"))
    assert (len(status.commits), len(status.letters), len(status.incidents)) == (COMMITS, LETTERS, 100)
    assert status.letters_by_reason.total() == 500
    assert status.incidents.opened.total() == 500


def test_dead_letters_keep_no_payload():
    status, feed = running()
    feed.commit(feed.rejected(payload=b"private words", series=(ONE,)))
    (letter,) = status.letters
    assert (letter.reason, letter.size, letter.series) == ("not_json", 13, (ONE,))
    assert "private" not in repr(letter)


def test_the_latency_is_that_of_the_oldest_update():
    status, feed = running()
    feed.commit(feed.entry(ONE, 1.0, received_us=feed.now_us - 40_000), feed.entry(TWO, 1.0))
    assert status.commits[-1].latency_us == 40_000


def test_a_pong_of_an_earlier_session_and_notices():
    status, feed = running()
    feed.emit(Noticed("error", 500, "oops", "s1", 1, feed.now_us))
    feed.emit(Closed("s1", "disconnect", "", feed.now_us, feed.now_us))
    feed.open("s2")
    assert status.link.rtt_ms == 3.5
    assert status.notices == {"error": 1}


def test_which_promise_holds():
    assert promise("strict", OK)[0]
    assert promise("strict", DOWN)[0]
    assert "owner of each shard" in promise("strict", STANDBY)[1]
    assert not promise("best-effort", OK)[0]
    assert not promise("demo", OK)[0]


def test_what_does_not_concern_it_changes_nothing():
    status, feed = running()
    before = status.layout
    status.drop(Series("chats", "active_chats"))
    feed.emit(Updated(ONE, 1.0, "1", "s1", 1, feed.now_us))
    feed.emit(Ponged("another", feed.now_us, 1.0))
    feed.emit(Refused("disconnect", "a second session", 1.0, feed.now_us))
    assert (status.layout, status.unlinked, status.link.rtt_ms) == (before, None, 3.5)


def test_counters_of_the_heartbeats_are_summed_over_the_shards():
    status, feed = running()
    beat = Beat(feed.now_us, "connected", "s1", None, None, 2, 2, {"records_total": 5})
    feed.emit(Committed(Batch(0, (), feed.now_us, beat), 9, 0.01, feed.now_us))
    feed.emit(Committed(Batch(7, (), feed.now_us, beat), 9, 0.01, feed.now_us))
    assert len(status.beats()) == 1
    assert (status.counted("records_total"), status.counted("unknown")) == (5, 0)


def test_open_gaps_are_counted_by_reason_and_never_forgotten():
    status, feed = running()
    lost = gap(feed.now_us)
    feed.commit(feed.gap_opened(ONE, lost), feed.gap_opened(TWO, lost))
    assert dict(status.incidents.open_by_reason()) == {lost.reason: 2}
    for number in range(KEPT + 10):
        series = Series("chats", "missed_chats", 30, 100 + number)
        feed.commit(feed.subscribed(series), feed.gap_opened(series, OpenGap(number * SECOND, "disconnect")))
    status.drop(ONE)
    assert status.incidents.open_now == KEPT + 11


def test_an_older_row_does_not_take_a_newer_value_back():
    status, _ = running()
    status.rows[ONE].stand(SourceOffset(ONE, "active", 1, 0), status.version)
    assert (status.rows[ONE].sequence, status.rows[ONE].value) == (1, 1.0)

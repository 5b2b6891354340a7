"""What is shown: reports, their schema, and what an open page learns of changes."""

import asyncio
import json
import time

import msgspec
from status_feed import IDENTITY, SECOND, Feed, gap, observer

from connector.domain.model import Retired, Series, SourceOffset
from connector.web.around import Surroundings
from connector.web.live import NOTHING, Live
from connector.web.model import SCHEMA, Member, Report
from connector.web.observer import Pulse, StatusObserver
from connector.web.view import report

ONE = Series("chats", "missed_chats", 30, 5)
TWO = Series("agents", "agents_online")


def scene(**around):
    seen = observer()
    feed = Feed(seen)
    feed.acquire()
    feed.open()
    feed.commit(feed.entry(ONE, 1.0), feed.entry(TWO, None), waiting=4, values_received_total=6)
    return seen, feed, Surroundings(**around)


def event(live, known):
    sent, now = live.event(known)
    name, _, data = sent.decode().removesuffix("\n\n").partition("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: ")), now


def test_a_report_reads_back_and_says_what_it_should():
    seen, feed, around = scene(budget=lambda: (7, 60), departments=lambda: {5: "Sales"})
    shown = report(seen.status, IDENTITY, around.now(), feed.now_us)
    again = msgspec.json.decode(msgspec.json.encode(shown), type=Report)
    assert again == shown
    assert (shown.role, shown.level, shown.guarantee.holds) == ("owner", "ok", True)
    assert (shown.session.connected, shown.session.rtt_ms) == (True, 3.5)
    assert (shown.buffer.waiting, shown.buffer.balanced) == (4, True)
    assert (shown.budget.used, shown.budget.limit) == (7, 60)
    assert (shown.batches.updates, shown.batches.updates_per_second) == (2, 0.2)
    one, two = shown.series
    assert (one.name, one.department, one.window, one.value, one.points) == (ONE.name, "Sales", 30, 1.0, (1.0,))
    assert (two.department, two.value, two.sequence, two.points) == (None, None, 1, (None,))


def test_an_update_lost_inside_is_visible():
    seen, feed, around = scene()
    feed.commit(values_received_total=10)
    assert not report(seen.status, IDENTITY, around.now(), feed.now_us).buffer.balanced


def test_every_field_of_the_report_is_in_the_schema():
    seen, feed, around = scene()
    schema = json.loads(SCHEMA)
    shown = msgspec.to_builtins(report(seen.status, IDENTITY, around.now(), feed.now_us))
    properties = schema["$defs"]["Report"]["properties"]
    assert set(properties) == set(shown)
    assert set(schema["$defs"]["Series"]["properties"]) == set(shown["series"][0])
    assert all("description" in one for one in schema["$defs"].values())


def test_a_page_learns_first_everything_then_what_changed():
    seen, feed, around = scene()
    live = Live(seen.status, IDENTITY, around)
    name, data, known = event(live, NOTHING)
    assert (name, len(data["series"])) == ("report", 2)
    feed.commit(feed.entry(ONE, 5.0))
    name, data, known = event(live, known)
    assert (name, data["changes"]) == ("delta", [[ONE.name, 5.0, 2, 1, feed.now_us // 1000, None]])
    assert event(live, known)[1]["changes"] == []
    feed.commit(feed.gap_opened(ONE, gap(feed.now_us)))
    name, data, known = event(live, known)
    assert [change[5] for change in data["changes"]] == ["disconnect"]
    feed.commit(Retired(SourceOffset(TWO, "removed", 1, 1), feed.now_us))
    name, data, known = event(live, known)
    assert (name, len(data["series"])) == ("report", 1)


def test_new_names_of_departments_are_news():
    names = {}
    seen, _, around = scene(departments=lambda: names)
    live = Live(seen.status, IDENTITY, around)
    _, _, known = event(live, NOTHING)
    names[5] = "Sales"
    assert event(live, known)[0] == "report"


def test_readers_in_step_share_the_bytes():
    seen, _, around = scene()
    live = Live(seen.status, IDENTITY, around)
    while time.monotonic() % 1.0 > 0.8:
        time.sleep(0.05)
    assert live.event(NOTHING)[0] is live.event(NOTHING)[0]


def test_members_are_refreshed_and_a_failure_is_shown():
    calls = []

    async def members():
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("no broker")
        return [Member("pod-0", "10.0.0.1", (0,), this=True)]

    async def scenario():
        around = Surroundings(members=members)
        for _ in range(2):
            task = asyncio.create_task(around.run())
            await asyncio.sleep(0.02)
            task.cancel()
        return around

    around = asyncio.run(scenario())
    shown = around.now().members
    assert ([one.name for one in shown.known], shown.error, around.members()) == (["pod-0"], "no broker", 1)


def test_a_silent_publisher_is_noticed():
    now = [0.0]
    seen = StatusObserver(0, lambda: now[0])
    feed = Feed(seen, now_us=SECOND)
    now[0] = 500.0
    assert seen.silent() == 0.0
    feed.acquire()
    now[0] = 530.0
    assert seen.silent() == 30.0
    feed.commit()
    assert seen.silent() == 0.0


def test_a_blocked_event_loop_shows_as_lag():
    async def scenario():
        pulse = Pulse()
        task = asyncio.create_task(pulse.run())
        await asyncio.sleep(0.1)
        time.sleep(0.7)  # noqa: ASYNC251 - the block that is to be seen
        await asyncio.sleep(0.05)
        task.cancel()
        return pulse.lag()

    assert 0.2 < asyncio.run(scenario()) < 5.0

"""What an unsubscribe drops, and what a second subscribe does, is unknown: live changes in every combination.

The whole session code runs, over real sockets, between the emulator and a log in memory.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter

import pytest

from connector.adapters.group import FixedOwnership
from connector.adapters.websocket import Endpoint, run_session
from connector.domain.batcher import Batcher
from connector.domain.model import Progress, Series, ShardState
from connector.domain.records import Recorder
from connector.domain.topics import Topics
from connector.emulator.behaviour import Behaviour
from connector.emulator.scenario import Scenario
from connector.emulator.server import Emulator
from connector.emulator.settings import EmulatorSettings
from connector.protocol.session import Session
from connector.runtime.backoff import Backoff
from connector.runtime.budget import Budget
from connector.runtime.follower import Follower
from connector.runtime.pipeline import Pipeline
from connector.runtime.publisher import Publisher
from connector.runtime.supervisor import Supervisor

TOPICS = Topics(account="acme", prefix="z")
KEPT = tuple(map(Series.parse, ("chats.missed_chats|30|1", "chats.incoming_chats||1")))
COMING = tuple(
    map(
        Series.parse,
        ("chats.missed_chats|60|1", "chats.missed_chats|30|2", "chats.incoming_chats||", "agents.agents_online||"),
    )
)
EVERY = KEPT + COMING
UNKNOWN = {
    "unsubscribe": ("exact", "all", "global"),
    "duplicates": (False, True),
    "snapshot": (True, False),
    "ack": (False, True),
    "several_keys": (False, True),
    "both_windows": (False, True),
}
COMBINATIONS = [dict(zip(UNKNOWN, values, strict=True)) for values in itertools.product(*UNKNOWN.values())]


class Log:
    """A sink that keeps what is committed, as it was."""

    suspect = None

    def __init__(self):
        self.records = []

    async def acquire(self):
        return Progress(ShardState(), {})

    async def commit(self, make):
        self.records += make({})
        await asyncio.sleep(0.001)
        return 0.001

    async def close(self):
        pass

    def values(self, topic):
        return [record.value for record in self.records if record.topic == topic and record.value is not None]


class Connector:
    """A connector of one shard, as `cli.build` wires it, but for Kafka."""

    def __init__(self, source, policy):
        self.log = Log()
        self.sessions = []
        self._policy = policy
        self._endpoint = Endpoint(
            source.url,
            open_timeout=10.0,
            ping_interval=5.0,
            ping_timeout=5.0,
            probe_interval=0.01,
            max_frame=65536,
            compression=False,
            tls=None,
        )
        self.pipeline = Pipeline(partitions=2, shards=1)
        self.follower = Follower(
            self.pipeline, self._connect, budget=Budget(200), backoff=Backoff(0.01, 0.01), auth_backoff=1.0
        )
        self.supervisor = Supervisor(
            KEPT,
            pipeline=self.pipeline,
            ownership=FixedOwnership(1),
            make_publisher=self._publisher,
            follower=self.follower,
            resolve=None,
            refresh=None,
            timeout=10.0,
        )

    def _publisher(self, shard):
        recorder = Recorder(
            TOPICS, account="acme", owner="me", version="1", shard=shard, shards=1, partitions=2, heartbeat_ms=1000
        )
        return Publisher(
            shard,
            sink=self.log,
            recorder=recorder,
            batcher=Batcher(min_interval=0.0, max_records=1000, max_bytes=1 << 20, heartbeat=0.5),
            source=self.pipeline,
            emit=self.pipeline.handle,
            backoff=Backoff(0.01, 0.01),
            owner="me",
        )

    async def _connect(self, session_id, emit, opened, take_over):
        def make(now):
            session = Session(
                session_id, self.pipeline.followed, now=now, unsubscribe=self._policy, subscribe_rate=10_000.0
            )
            self.sessions.append(session)
            return session

        return await run_session(
            self._endpoint, "owner-token", session_id, make, emit, opened=opened, take_over=take_over
        )

    @property
    def session(self):
        return self.sessions[-1]

    def published(self):
        return self.log.values(TOPICS.metrics(KEPT[0]))


async def until(condition, what, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
    assert condition(), what


class Stage:
    """Emulator and connector in one event loop; the world stands still, each value comes from the test."""

    def __init__(self, source, connector):
        self.source = source
        self.connector = connector
        self.twice = set()
        """What the source ever held more than once."""

    def held(self):
        """What the source believes: how often each series is subscribed, on the only session."""
        sessions = [one.session.subscriptions for one in self.source.connections.values()]
        for subscriptions in sessions:
            self.twice |= {series for series, times in subscriptions.items() if times > 1}
        return sessions[0] if len(sessions) == 1 else {}

    async def reconfigure(self, series):
        before = set(self.connector.pipeline.configured)
        self.connector.supervisor.change(series)
        await self.settled(series, before - set(series))

    async def settled(self, series, removed=frozenset()):
        """Everything is asked for, everything removed has its row."""
        wanted, gone = set(series), {one.name for one in removed}

        def reached():
            rows = {row["series"]: row["state"] for row in self.connector.log.values(TOPICS.offsets)}
            return (
                set(self.connector.pipeline.followed) == wanted
                and self.connector.sessions
                and self.connector.session.subscribed == wanted
                and self.connector.session.next_timer() is None
                and all(rows[name] == "removed" for name in gone)
            )

        await until(reached, f"{series} settled")
        await self.proven()

    async def proven(self):
        """What the two ends had said to each other before is heard, published and committed."""
        for _ in range(2):
            before = self.connector.pipeline.proof_us() or 0
            await until(lambda: (self.connector.pipeline.proof_us() or 0) > before, "a pong")  # noqa: B023 - at once
        await until(lambda: self.connector.pipeline.waiting == 0, "everything committed")
        self.held()

    async def push(self, first):
        """A value of its own for each series, wanted or not."""
        for number, series in enumerate(EVERY, first):
            self.source.control("value", series=series.name, value=number)
        await self.proven()

    def got(self, first):
        """How often the values of such a push were published."""
        values = Counter((row["series"], row["value"]) for row in self.connector.published())
        return {series: values[series.name, float(number)] for number, series in enumerate(EVERY, first)}


async def play(folder, policy, switches, meddle=None):
    """Two series; four more; the two again; all six. After each step every series gets a new value."""
    settings = EmulatorSettings(
        behaviour=Behaviour(**switches), journal=folder / "journal", departments=2, scenario=Scenario(warm_up=0.0)
    )
    emulator = Emulator(settings)
    emulator.pump.paused = True
    async with emulator as source:
        connector = Connector(source, policy)
        running = asyncio.create_task(connector.supervisor.run())
        stage = Stage(source, connector)
        try:
            await stage.settled(KEPT)
            await stage.push(100)
            await stage.reconfigure(EVERY)
            if meddle is not None:
                meddle(source)
            await stage.push(200)
            before = len(connector.sessions)
            await stage.reconfigure(KEPT)
            left = set(stage.held())
            await stage.push(300)
            meanwhile = stage.got(300)
            assert len(connector.sessions) == before == 1, "a change took a new session"
            await stage.reconfigure(EVERY)
            await stage.push(400)
        finally:
            connector.supervisor.stop()
            await asyncio.wait_for(running, 60)
    return stage, left, meanwhile


def numbered(rows):
    """Sequences that are not contiguous."""
    newest = {}
    for row in rows:
        if row["sequence"] != newest.get(row["series"], 0) + 1:
            yield row
        newest[row["series"]] = row["sequence"]


def check(folder, stage):
    """What holds whatever the source does: each value that was published was sent, once, and has its number."""
    lines = [json.loads(line) for line in (folder / "journal").read_text().splitlines()]
    sent = {
        (line["session"], line["frame"], series): literal
        for line in lines
        if line["event"] == "frame"
        for series, literal in line.get("values") or ()
    }
    rows = stage.connector.published()
    places = [(row["session_id"], row["frame"], row["series"]) for row in rows]
    found = [f"repeated {place}" for place, times in Counter(places).items() if times > 1]
    found += [f"not sent {p}" for p, row in zip(places, rows, strict=True) if sent.get(p) != row["value_raw"]]
    found += [f"number {row['event_id']}" for row in numbered(rows)]
    return found + [f"subscribed twice {series}" for series in stage.twice]


def named(switches):
    return ",".join(f"{name}={value}" for name, value in switches.items())


POLICIES = ("polite", "exact")
AT_ONCE = 12


@pytest.fixture(scope="module")
def plays(tmp_path_factory):
    """Every combination, played a few at a time, since most of it is waiting; an error belongs to its test."""

    async def all_of_them():
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number, policy):
            folder = tmp_path_factory.mktemp("play")
            async with gate:
                return folder, *await play(folder, policy, COMBINATIONS[number])

        names = list(itertools.product(range(len(COMBINATIONS)), POLICIES))
        return dict(
            zip(names, await asyncio.gather(*(one(*name) for name in names), return_exceptions=True), strict=True)
        )

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("number", range(len(COMBINATIONS)), ids=lambda number: named(COMBINATIONS[number]))
@pytest.mark.parametrize("policy", POLICIES)
def test_live_changes_whatever_an_unsubscribe_drops_and_a_second_subscribe_does(plays, policy, number):
    played, switches = plays[number, policy], COMBINATIONS[number]
    if isinstance(played, BaseException):
        raise played
    folder, stage, left, meanwhile = played
    assert check(folder, stage) == []
    assert min(times for first in (200, 400) for times in stage.got(first).values()) >= 1
    assert {meanwhile[series] for series in COMING} == {0}, "a value of what is no longer followed was published"
    kept = {meanwhile[series] for series in KEPT}
    if policy == "polite" or switches["unsubscribe"] == "exact":
        assert set(KEPT) <= left
        assert 0 not in kept
    elif switches["unsubscribe"] == "all":
        # Told that an unsubscribe is exact where it is not: what stays falls silent, as the documents warn.
        assert kept == {0}
    if policy == switches["unsubscribe"] == "exact":
        assert left == set(KEPT)
    if not switches["both_windows"]:
        assert max(times for first in (100, 200, 300, 400) for times in stage.got(first).values()) == 1


def test_control_a_second_subscribe_is_found(tmp_path):
    def subscribe_again(source):
        (connection,) = source.connections.values()
        message = {"topic": "chats.incoming_chats", "action": "subscribe", "department_id": 1}
        source.hub.receive(connection.session, json.dumps(message))

    switches = {"duplicates": True, "snapshot": False}
    stage, _, _ = asyncio.run(play(tmp_path, "polite", switches, subscribe_again))
    assert check(tmp_path, stage) == [f"subscribed twice {KEPT[1]}"]
    assert stage.got(200)[KEPT[1]] == 2

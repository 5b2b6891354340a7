"""What the writer's own ledger and recorder make is what the audit expects."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.verify.history import Message, dice_of

from connector.domain.events import Updated
from connector.domain.ledger import Ledger
from connector.domain.model import Batch, Beat, Entry, GapClosed, OpenGap, Progress, Series, ShardState
from connector.domain.queue import Queue
from connector.domain.records import Recorder
from connector.domain.topics import Topics
from connector.verify.checks import Auditor, Layout

SERIES = (Series("chats", "missed_chats", 30, 5), Series("agents", "agents_online"), Series("chats", "active_chats"))
TOPICS = Topics(account="acme", prefix="p")
PARTITIONS = 4


class Writer:
    """A publisher without Kafka: every transaction succeeds."""

    def __init__(self, headers):
        self.now = 1_800_000_000_000_000
        self.log = []
        self.headers = headers
        self.state = ShardState()
        self.offsets = {}
        self.session = 0
        self.take_over()

    def take_over(self):
        self.owner = f"replica-{self.state.owner_epoch + 1}"
        self.recorder = Recorder(
            TOPICS,
            account="acme",
            owner=self.owner,
            version="1",
            shard=0,
            shards=1,
            partitions=PARTITIONS,
            latest_partitions=PARTITIONS,
            heartbeat_ms=1000,
            headers=self.headers,
        )
        self.ledger = Ledger(Queue(room=10_000))
        self.ledger.recover(Progress(self.state, dict(self.offsets)), SERIES, reason="takeover", at_us=self.now)
        self.owner_epoch = self.state.owner_epoch + 1
        self.received = self.records = self.gaps = 0
        self.connect()

    def connect(self):
        self.session += 1
        self.frame = 0
        self.ledger.subscribe(SERIES)

    def disconnect(self):
        self.ledger.close(OpenGap(self.now, "disconnect"))
        self.connect()

    def push(self, series, value):
        self.now += 7321
        self.frame += 1
        self.received += 1
        self.ledger.admit(Updated(series, float(value), str(value), f"s{self.session}", self.frame, self.now))

    def commit(self, *, beat):
        self.now += 40_123
        items = tuple(self.ledger.queue)
        self.ledger.queue.release(len(items))
        self.records += sum(isinstance(item, Entry) for item in items)
        self.gaps += sum(isinstance(item, GapClosed) for item in items)
        through = self.now - 40_000
        sequence = self.state.heartbeat_seq + beat
        self.state = ShardState(self.owner, self.owner_epoch, self.state.batch_id + 1, sequence, through)
        batch = Batch(0, items, through, self.beat() if beat else None)
        self.log.append(list(self.recorder.transaction(batch, self.state, self.now, {})))
        self.offsets |= {one: position.offset() for one, position in self.ledger.positions.items()}

    def beat(self):
        counters = dict.fromkeys(("dropped_total", "waiting", "dead_letters_total", "reconnects_total"), 0) | {
            "values_received_total": self.received,
            "repeats_suppressed_total": self.ledger.suppressed,
            "records_total": self.records,
            "gaps_total": self.gaps,
            "frames_total": self.frame,
        }
        return Beat(self.now, "connected", f"s{self.session}", None, None, len(SERIES), len(SERIES), counters)


def busy_writer(seed, headers):
    dice = dice_of(seed)
    writer = Writer(headers)
    for _ in range(100):
        match dice.choices(["push", "commit", "disconnect", "take over"], [60, 25, 5, 3])[0]:
            case "push":
                writer.push(dice.choice(SERIES), dice.randint(0, 3))
            case "commit":
                writer.commit(beat=dice.random() < 0.6)
            case "disconnect":
                writer.disconnect()
            case "take over":
                writer.commit(beat=False)
                writer.take_over()
    writer.commit(beat=True)
    return writer


def audited(log):
    topics = (TOPICS.metrics(SERIES[0]), TOPICS.latest, TOPICS.gaps, TOPICS.heartbeats)
    counts = dict.fromkeys(topics, PARTITIONS) | {TOPICS.offsets: 1}
    layout = Layout(
        "acme", 1, frozenset(topics[:1]), TOPICS.latest, TOPICS.gaps, TOPICS.heartbeats, TOPICS.offsets, counts
    )
    auditor = Auditor(layout)
    for _ in range(2):
        auditor.begin()
        for number, record in enumerate(record for one in log for record in one):
            made = record.topic, record.partition, number, record.key, record.value, record.timestamp_ms, record.headers
            if auditor.round == 1:
                auditor.feed(Message(*made))
        if auditor.round == 1:
            auditor.begin()
        auditor.settle()
    return auditor


@pytest.mark.parametrize("headers", ["minimal", "full", "none"])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_what_the_writer_makes_is_clean(headers, seed):
    auditor = audited(busy_writer(seed, headers).log)
    assert auditor.findings.kept == []
    assert auditor.updates > 0


def test_an_update_that_the_writer_forgot_is_found():
    log = busy_writer(5, "minimal").log
    gone = [record for one in log for record in one if record.topic == "p.metrics"][4]
    auditor = audited([[record for record in one if record is not gone] for one in log])
    assert auditor.findings.totals["lost"] == 1

"""Events as a connector would emit them, made without one: for the status page, the metrics and their tests."""

from __future__ import annotations

from connector.config.http import Http
from connector.domain.events import Acquired, Closed, Committed, Opened, Ponged, Rejected
from connector.domain.metrics import METRICS, WINDOWS
from connector.domain.model import Batch, Beat, Entry, GapClosed, GapOpened, OpenGap, Series, SourceOffset, Subscribed
from connector.web.around import Surroundings
from connector.web.observer import Pulse, StatusObserver
from connector.web.server import Site
from connector.web.view import Identity

SECOND = 1_000_000
IDENTITY = Identity("acme", "pod-0", "1.2.3", "strict")


def every_series(departments):
    """All metrics in all windows, of the whole account and of each department."""
    return [
        Series(metric.family, metric.key, window, department)
        for department in (None, *departments)
        for metric in METRICS
        for window in (WINDOWS if metric.windowed else (None,))
        if department is None or metric.family == "chats"
    ]


def beat(at_us, series=0, state="connected", **counters):
    names = (
        *("values_received_total", "records_total", "repeats_suppressed_total", "dead_letters_total"),
        *("dropped_total", "waiting", "frames_total"),
    )
    return Beat(at_us, state, "s1", at_us, 3.5, series, series, {**dict.fromkeys(names, 0), **counters})


class Feed:
    """One shard and one session, with a clock of its own; ``observers`` get the events."""

    def __init__(self, *observers, now_us=1_700_000_000 * SECOND, shard=0):
        self.observers = observers
        self.now_us = now_us
        self.shard = shard
        self.batch_id = 0
        self.sequences = {}
        self.epochs = {}
        self.newest = {}
        self.records = 0

    def emit(self, event):
        for observe in self.observers:
            observe(event)

    def acquire(self):
        self.emit(Acquired(self.shard, 1, 0, 0.5, self.now_us))

    def open(self, session_id="s1"):
        self.emit(Opened(session_id, self.now_us))
        self.emit(Ponged(session_id, self.now_us, 3.5))

    def close(self, reason="disconnect"):
        self.emit(Closed("s1", reason, "code 1006", self.now_us, self.now_us))

    def offset(self, series, gap=None):
        value, raw, received_us = self.newest.get(series, (None, None, None))
        epoch, sequence = self.epochs.get(series, 1), self.sequences.get(series, 0)
        return SourceOffset(series, "active", epoch, sequence, value, raw, received_us, "s1", gap)

    def entry(self, series, value, origin="update", received_us=None):
        self.sequences[series] = self.sequences.get(series, 0) + 1
        self.records += 1
        received_us = self.now_us if received_us is None else received_us
        epoch = self.epochs.get(series, 1)
        raw = None if value is None else str(value)
        self.newest[series] = value, raw, received_us
        return Entry(series, epoch, self.sequences[series], value, raw, origin, received_us, "s1", self.records)

    def subscribed(self, series):
        return Subscribed(self.offset(series))

    def gap_opened(self, series, gap):
        return GapOpened(self.offset(series, gap), gap)

    def gap_closed(self, series, gap, ended_us=None):
        self.epochs[series] = self.epochs.get(series, 1) + 1
        return GapClosed(self.offset(series), gap, 1.0, 2.0, ended_us or self.now_us, resynced=True)

    def rejected(self, reason="not_json", payload=b'{"secret": 1}', series=()):
        return Rejected(reason, "is no JSON", payload, series, "s1", 7, self.now_us)

    def commit(self, *items, seconds=0.02, with_beat=True, **counters):
        self.batch_id += 1
        conserved = {"values_received_total": self.records, "records_total": self.records, "frames_total": self.records}
        made = beat(self.now_us, len(self.sequences), **{**conserved, **counters}) if with_beat else None
        self.emit(Committed(Batch(self.shard, items, self.now_us, made), self.batch_id, seconds, self.now_us))

    def wait(self, seconds):
        self.now_us += int(seconds * SECOND)


def gap(started_us, reason="disconnect"):
    return OpenGap(started_us, reason)


def make_site(observer, settings=None, *, metrics=lambda: b"", ready=lambda: True, identity=IDENTITY, **around):
    """A site around the observer, as the command makes it."""
    return Site(
        settings or Http(port=0),
        observer=observer,
        identity=identity,
        surroundings=Surroundings(**around),
        pulse=Pulse(),
        metrics=metrics,
        ready=ready,
    )


def observer(since_us=1_700_000_000 * SECOND):
    return StatusObserver(since_us)

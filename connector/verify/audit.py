"""An audit of the real topics: which ones, in which rounds."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from connector.errors import SinkRejected
from connector.verify.checks import Auditor, Layout
from connector.verify.decode import Decoder, SchemaById
from connector.verify.findings import CANNOT_SEE
from connector.verify.reader import Reader, places_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connector.config import Config

    Progress = Callable[[int, int], None]


class Audit:
    """Reads the topics of a configuration into an `Auditor`. Close it."""

    def __init__(self, config: Config, *, since_ms: int | None = None) -> None:
        self.reader = Reader(config, Decoder(SchemaById(config.registry)))
        try:
            self.layout = layout_of(config, self.reader.topics())
        except BaseException:
            self.reader.close()
            raise
        self.since_ms = since_ms
        self.auditor = Auditor(self.layout, since_ms=since_ms)
        self._account = config.account

    def close(self) -> None:
        """Let the consumer go."""
        self.reader.close()

    def start(self, progress: Progress | None = None) -> None:
        """Read everything that there is.

        Offsets and heartbeats come first: they tell how far the transactions have come. What follows is compared up
        to there, and in a second round up to what the updates themselves tell.

        Raises:
            SinkUnavailable, SinkRejected, RegistryUnavailable, SchemaError
        """
        layout = self.layout
        self.reader.add(places_of([layout.offsets], layout.partitions))
        self.reader.add(places_of([layout.heartbeats], layout.partitions), self.since_ms)
        self.reader.read(self.auditor.feed, progress)
        self.reader.add(places_of([*layout.metrics, layout.gaps], layout.partitions), self.since_ms)
        if layout.latest is not None:
            self.reader.add(places_of([layout.latest], layout.partitions))
        self.round(progress)
        self.round(progress)

    def round(self, progress: Progress | None = None) -> None:
        """Read what is new, and compare up to what every partition has passed."""
        first = self.auditor.round == 0
        self.auditor.begin()
        self.reader.read(self.auditor.feed, progress)
        cut = [*self.layout.metrics, self.layout.gaps]
        self.auditor.settle(self.reader.truncated(places_of(cut, self.layout.partitions)) if first else ())

    def result(self) -> dict[str, Any]:
        """What was found so far, as one JSON document."""
        auditor = self.auditor
        proven = auditor.proven_through
        findings = auditor.findings
        return {
            "account": self._account,
            "clean": not findings.totals,
            "findings": {kind: findings.totals[kind] for kind in findings.totals},
            "details": [finding.as_json() for finding in findings.kept],
            "details_omitted": findings.omitted,
            "read": {topic: auditor.read[topic] for topic in self.layout.partitions},
            "series": len(auditor.series),
            "updates": auditor.updates,
            "open_gaps": auditor.open_gaps,
            "compared_through_batch": {str(at): shard.horizon for at, shard in enumerate(auditor.shards)},
            "since_ms": self.since_ms,
            "proven_through_ms": proven,
            "unproven_seconds": None if proven is None else round(max(0.0, time.time() - proven / 1000), 3),
            "cannot_see": list(CANNOT_SEE),
        }


def layout_of(config: Config, topics: Mapping[str, int]) -> Layout:
    """The topics of the account among those that exist.

    Raises:
        SinkRejected: one is missing, or the numbers of partitions do not fit.
    """
    names = config.names
    pattern = _pattern(config)
    metrics = frozenset(topic for topic in topics if pattern.fullmatch(topic))
    others = [name for name in (names.gaps, names.heartbeats, names.offsets, names.latest) if name is not None]
    missing = [name for name in others if name not in topics]
    if not metrics:
        missing.append(config.topics.metrics.replace("{prefix}", config.topics.prefix))
    if missing:
        raise SinkRejected(f"Kafka: topic {missing[0]} does not exist; run zendesk-chat-kafka provision")
    counts = {topic: topics[topic] for topic in (*sorted(metrics), *others)}
    shards = counts[names.offsets]
    wanted = counts[names.gaps]
    for topic in (*sorted(metrics), names.heartbeats):
        if counts[topic] != wanted:
            raise SinkRejected(
                f"Kafka: {topic} has {counts[topic]} partitions, {names.gaps} has {wanted}; provision anew"
            )
    return Layout(config.account, shards, metrics, names.latest, names.gaps, names.heartbeats, names.offsets, counts)


def _pattern(config: Config) -> re.Pattern[str]:
    """The metrics topics: those of departments and families that are no longer configured too."""
    template = re.escape(config.topics.metrics)
    places = {
        "prefix": re.escape(config.topics.prefix),
        "account": re.escape(config.account),
        "family": "(chats|agents)",
        "department": "(all|[0-9]+)",
    }
    for place, text in places.items():
        template = template.replace(re.escape(f"{{{place}}}"), text)
    return re.compile(template)

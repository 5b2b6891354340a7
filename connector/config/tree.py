"""The whole configuration: one frozen tree."""

import re
import socket
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from connector.config.http import Http
from connector.config.otlp import Otlp
from connector.config.section import Section, problem
from connector.config.sink import Kafka, Registry, TopicNames
from connector.config.source import Source
from connector.config.subscriptions import EVERY, Subscription, expand
from connector.config.units import Count, Duration, Size
from connector.domain.model import Series
from connector.domain.topics import Topics

_ACCOUNT: Final = re.compile(r"[a-z0-9._-]{1,100}")


class Batch(Section):
    """When a transaction closes. It takes all that waits; these are its bounds."""

    min_interval: Duration = Field(
        default=0.05, ge=0, le=10, description="Shortest distance of two transactions; 0 = as fast as Kafka commits"
    )
    max_records: Count = Field(default=10_000, ge=1, description="Most updates in one transaction")
    max_bytes: Size = Field(default=8 * 2**20, ge=65536, description="Most bytes in one transaction, about")


class Heartbeat(Section):
    """Heartbeat records."""

    interval: Duration = Field(default=1.0, ge=0.1, le=60, description="Distance of two heartbeats")


class Disk(Section):
    """A journal on disk for what waits: it survives the process, and holds more than memory."""

    path: Path = Field(description="Folder of the journal, which only this replica uses")
    max_updates: Count = Field(default=10_000_000, ge=1, description="Most updates that wait on disk")
    sync_interval: Duration = Field(
        default=0.2, gt=0, le=60, description="How often the journal waits for the disk; a crash loses what came since"
    )


class Buffer(Section):
    """Updates that wait while Kafka is away."""

    max_updates: Count = Field(default=500_000, ge=1, description="Most updates that wait in memory")
    disk: Disk | None = Field(default=None, description="Journal on disk besides; without it a crash loses what waits")


class Log(Section):
    """What the process says on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe level")
    format: Literal["json", "text", "auto"] = Field(
        default="auto", description="json: one object a line; text: for people; auto: text in a terminal, else json"
    )


class Config(Section):
    """Settings of one connector, which serves one account."""

    account: str = Field(description="Name of the account in records, keys and topic names: a-z, 0-9, . _ -")
    instance: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=200,
        description="Name of this replica in heartbeats and offsets; by default the host's, in Kubernetes the pod's",
    )
    source: Source = Field(description="The Streaming API")
    subscriptions: list[Subscription] = Field(min_length=1, description="What to subscribe to")
    kafka: Kafka = Field(description="The Kafka cluster")
    topics: TopicNames = Field(default=TopicNames(), description="Names of the topics")
    headers: Literal["minimal", "full", "none"] = Field(
        default="minimal", description="CloudEvents headers of each record"
    )
    registry: Registry = Field(description="The schema registry")
    batch: Batch = Field(default=Batch(), description="Bounds of a transaction")
    heartbeat: Heartbeat = Field(default=Heartbeat(), description="Heartbeat records")
    buffer: Buffer = Field(default=Buffer(), description="Updates that wait while Kafka is away")
    ownership: Literal["group", "fixed"] = Field(
        default="group", description="group: replicas share the shards; fixed: this process owns all (demo only)"
    )
    guarantee: Literal["strict", "best-effort", "demo"] = Field(
        default="strict",
        description="strict: refuse what would break the promise; best-effort: run on one broker too and say so;"
        " demo: the embedded demo broker",
    )
    collapse_repeats: bool = Field(
        default=False, description="Publish no update whose value equals the one before it in its series"
    )
    log: Log = Field(default=Log(), description="Logging")
    http: Http = Field(default=Http(), description="Status page, metrics and probes")
    otlp: Otlp | None = Field(default=None, description="OpenTelemetry besides; nothing of it is loaded without this")
    shutdown_timeout: Duration = Field(default=10.0, gt=0, description="Longest time to publish what waits at the end")

    @field_validator("account")
    @classmethod
    def _check_account(cls, account: str) -> str:
        if _ACCOUNT.fullmatch(account) is None:
            raise ValueError("must consist of a-z, 0-9, . _ and - only, at most 100 of them")
        return account

    @model_validator(mode="after")
    def _check_guarantee(self) -> Self:
        if (self.guarantee == "demo") != (self.ownership == "fixed"):
            raise problem("fixed and guarantee: demo go together, for the demo broker; set both or none", "ownership")
        if self.guarantee == "strict" and self.kafka.min_insync_replicas < 2:
            text = "below 2 cannot keep guarantee: strict; raise it, or set guarantee: best-effort"
            raise problem(text, "kafka", "min_insync_replicas")
        return self

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if "{department}" in self.topics.metrics and self.every_department:
            text = "{department} cannot be used with departments '*'; a running connector creates no topics"
            raise problem(text, "topics", "metrics")
        try:
            self.names.check()
        except ValueError as error:
            raise problem(str(error), "topics") from None
        return self

    @property
    def names(self) -> Topics:
        """The topics, the group and the transactional ids of this account."""
        topics = self.topics
        return Topics(
            account=self.account,
            prefix=topics.prefix,
            metrics=topics.metrics,
            latest=topics.latest if topics.latest_enabled else None,
            gaps=topics.gaps,
            dead_letters=topics.dead_letters,
            heartbeats=topics.heartbeats,
            offsets=topics.offsets,
            control=topics.control,
        )

    @property
    def every_department(self) -> bool:
        """True if some entry asks for each department of the account."""
        return any(EVERY in entry.departments for entry in self.subscriptions)

    @property
    def department_names(self) -> tuple[str, ...]:
        """Departments that are configured by name and need their ids looked up."""
        named = {name for entry in self.subscriptions for name in entry.departments if isinstance(name, str)}
        return tuple(sorted(named - {EVERY, "all"}))

    def metrics_topics(self, names: Mapping[str, int] | None = None) -> tuple[str, ...]:
        """Every metrics topic. ``names``: as in `series`; not needed unless the template has {department}."""
        known = names if names is not None else dict.fromkeys(self.department_names, 0)
        return self.names.metrics_all(self.series(known, [0]))

    def series(self, names: Mapping[str, int] | None = None, every: Collection[int] = ()) -> tuple[Series, ...]:
        """Every configured series. ``names``: ids of `department_names`; ``every``: all ids, for ``*``."""
        return expand(self.subscriptions, names or {}, every)

"""The topics of the connector: what they must be, whether they are, and how they come to be. Never alters one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from connector.adapters.log import kafka_logger
from connector.errors import ConfigError, ConnectorError, SinkRejected, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from confluent_kafka.admin import TopicDescription  # type: ignore[attr-defined]

    from connector.config import Config, Kafka

TIMEOUT: Final = 15.0
"""Seconds for one request to the cluster."""

MISSING: Final = "missing"
_COMPACT: Final = {"cleanup.policy": "compact"}
_REFUSED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - the public name of the code
    }
)


class Topic(NamedTuple):
    """One topic as it must be; ``partitions_from`` is the setting that its partition count comes from."""

    name: str
    partitions: int
    settings: dict[str, str]
    partitions_from: str = "kafka.partitions"


class Difference(NamedTuple):
    """One way in which a topic is not as configured."""

    topic: str
    what: str
    expected: str
    found: str
    remedy: str
    fatal: bool = True

    @property
    def text(self) -> str:
        """One line."""
        if self.found == MISSING:
            return f"topic {self.topic}: missing; {self.remedy}"
        return f"topic {self.topic}: {self.what} is {self.found}, not {self.expected}; {self.remedy}"


class Provisioned(NamedTuple):
    """What `provision` found or did for one topic."""

    topic: str
    action: str
    """created | to create | unchanged | differs"""
    partitions: int
    differences: tuple[Difference, ...] = ()


def topics_of(config: Config, metrics: Iterable[str]) -> tuple[Topic, ...]:
    """Every topic of this configuration; ``metrics``: `Config.metrics_topics`."""
    names, keep = config.names, config.topics.retention
    partitions, shards = config.kafka.partitions, config.kafka.shards
    topics = [Topic(name, partitions, _deleted_after(keep.metrics)) for name in metrics]
    if names.latest is not None:
        topics.append(Topic(names.latest, config.kafka.latest_partitions, _COMPACT, "kafka.latest_partitions"))
    topics += [
        Topic(names.gaps, partitions, _deleted_after(keep.gaps)),
        Topic(names.dead_letters, partitions, _deleted_after(keep.dead_letters)),
        Topic(names.heartbeats, partitions, _deleted_after(keep.heartbeats)),
        Topic(names.offsets, shards, _COMPACT, "kafka.shards"),
        Topic(names.control, shards, _deleted_after(keep.control), "kafka.shards"),
    ]
    return tuple(topics)


def refuse(differences: Sequence[Difference]) -> None:
    """Name what makes publishing impossible.

    Raises:
        SinkRejected: if any difference is fatal.
    """
    fatal = [difference for difference in differences if difference.fatal]
    if fatal:
        more = f" (and {len(fatal) - 1} more, see zendesk-chat-kafka check)" if len(fatal) > 1 else ""
        raise SinkRejected(fatal[0].text + more)


class Admin:
    """One cluster, seen by an administrator. Its methods block.

    Raises:
        ConfigError: librdkafka does not know a setting, or a secret file cannot be read.
    """

    def __init__(self, kafka: Kafka, *, strict: bool) -> None:
        self._kafka = kafka
        self._strict = strict
        self._errors: list[str] = []
        # What its own log lines say comes through error_cb too; kafka.properties.debug would show them all the same.
        settings = {**kafka.connection(), "log_level": 0, "logger": kafka_logger(), "error_cb": self._note}
        try:
            self._client = AdminClient(settings)
        except KafkaException as error:
            raise ConfigError(f"kafka.properties: {error.args[0].str()}; see librdkafka's CONFIGURATION.md") from None

    def brokers(self) -> int:
        """How many brokers the cluster has; the first question to ask it.

        Raises:
            SinkUnavailable: none of the bootstrap servers answers.
            SinkRejected: the credentials are refused.
        """
        try:
            return len(self._client.list_topics(timeout=TIMEOUT).brokers)
        except KafkaException as error:
            self._client.poll(0.1)
            raise self._translate(error.args[0], "cluster") from error

    def provision(self, topics: Sequence[Topic], *, dry_run: bool = False) -> list[Provisioned]:
        """Create the topics that are missing and name what differs in the others.

        Raises:
            SinkRejected: the cluster cannot have such topics, or does not allow it.
            SinkUnavailable
        """
        brokers = self.brokers()
        found = self._describe(topics)
        missing = [topic for topic in topics if topic.name not in found]
        if missing:
            self._check_replicas(brokers)
        if not dry_run:
            self._create(missing)
        differences = self._compare(topics, found)
        results = []
        for topic in topics:
            action = "to create" if dry_run else "created"
            own = tuple(differences.get(topic.name, ()))
            if topic.name in found:
                action = "differs" if own else "unchanged"
            results.append(Provisioned(topic.name, action, topic.partitions, own))
        return results

    def inspect(self, topics: Sequence[Topic]) -> list[Difference]:
        """Every way in which the topics are not as configured; empty if all is well.

        Raises:
            SinkUnavailable, SinkRejected
        """
        self.brokers()
        found = self._describe(topics)
        missing = [_missing(topic) for topic in topics if topic.name not in found]
        differing = self._compare(topics, found)
        return missing + [difference for own in differing.values() for difference in own]

    # What is there.

    def _describe(self, topics: Sequence[Topic]) -> dict[str, TopicDescription]:
        names = [topic.name for topic in topics]
        futures = self._client.describe_topics(TopicCollection(names), request_timeout=TIMEOUT)
        found = {}
        for name, future in futures.items():
            try:
                found[name] = future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise self._translate(error.args[0], f"topic {name}") from error
        return found

    def _settings(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        settings = {}
        for resource, future in self._client.describe_configs(resources, request_timeout=TIMEOUT).items():
            try:
                settings[resource.name] = {key: str(entry.value) for key, entry in future.result().items()}
            except KafkaException as error:
                raise self._translate(error.args[0], f"settings of topic {resource.name}") from error
        return settings

    def _compare(self, topics: Sequence[Topic], found: Mapping[str, Any]) -> dict[str, list[Difference]]:
        settings = self._settings(found)
        differences: dict[str, list[Difference]] = {}
        for topic in topics:
            if topic.name in found:
                own = [*self._shape(topic, found[topic.name]), *self._policies(topic, settings[topic.name])]
                if own:
                    differences[topic.name] = own
        return differences

    def _shape(self, topic: Topic, description: TopicDescription) -> Iterable[Difference]:
        count = len(description.partitions)
        if count != topic.partitions:
            remedy = f"set {topic.partitions_from}: {count}, or provision under another topics.prefix"
            yield Difference(topic.name, "partition count", str(topic.partitions), str(count), remedy)
        replicas = min(len(partition.replicas) for partition in description.partitions)
        if replicas < self._kafka.replication_factor:
            remedy = "reassign its partitions, or lower kafka.replication_factor"
            wanted = str(self._kafka.replication_factor)
            yield Difference(topic.name, "replication factor", wanted, str(replicas), remedy, fatal=False)

    def _policies(self, topic: Topic, settings: Mapping[str, str]) -> Iterable[Difference]:
        for key in ("cleanup.policy", "message.timestamp.type"):
            wanted = self._wanted(topic)[key]
            if settings.get(key, wanted) != wanted:
                remedy = f"alter it with kafka-configs: {key}={wanted}"
                yield Difference(topic.name, key, wanted, settings[key], remedy)
        key, needed = "min.insync.replicas", self._kafka.min_insync_replicas
        if int(settings.get(key, needed)) < needed:
            remedy = f"alter it with kafka-configs: {key}={needed}"
            yield Difference(topic.name, key, str(needed), settings[key], remedy, fatal=self._strict)

    # What is made.

    def _wanted(self, topic: Topic) -> dict[str, str]:
        return {
            "min.insync.replicas": str(self._kafka.min_insync_replicas),
            # The timestamp of a record is when its frame was received, not when the broker got it.
            "message.timestamp.type": "CreateTime",
            **topic.settings,
        }

    def _check_replicas(self, brokers: int) -> None:
        factor = self._kafka.replication_factor
        if factor > brokers:
            remedy = "add brokers, or lower it (and min_insync_replicas, with guarantee: best-effort)"
            raise SinkRejected(f"kafka.replication_factor: {factor} is more than the cluster's {brokers}; {remedy}")

    def _create(self, topics: Sequence[Topic]) -> None:
        if not topics:
            return
        factor = self._kafka.replication_factor
        new = [NewTopic(topic.name, topic.partitions, factor, config=self._wanted(topic)) for topic in topics]
        for name, future in self._client.create_topics(new, operation_timeout=TIMEOUT).items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._translate(error.args[0], f"topic {name}") from error
        self._await(topics)

    def _await(self, topics: Sequence[Topic]) -> None:
        """A topic is created before every broker knows it; whoever comes next must find it."""
        deadline = time.monotonic() + TIMEOUT
        while len(self._describe(topics)) < len(topics):
            if time.monotonic() > deadline:
                raise SinkUnavailable(f"Kafka {self._kafka.bootstrap_servers}: new topics do not appear; try again")
            time.sleep(0.1)

    def _note(self, error: KafkaError) -> None:
        self._errors.append(error.str())

    def _translate(self, error: KafkaError, about: str) -> ConnectorError:
        text = f"Kafka {self._kafka.bootstrap_servers}: {about}: {error.str()} ({error.name()})"
        refused = next((said for said in self._errors if "authentication" in said.lower()), None)
        if refused is not None:
            return SinkRejected(f"{text}: {refused}; check kafka.properties and kafka.property_files")
        if error.code() in _REFUSED:
            return SinkRejected(f"{text}; grant it to this principal")
        if error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):  # noqa: SLF001
            reason = f": {self._errors[-1]}" if self._errors else ""
            return SinkUnavailable(f"{text}{reason}; check kafka.bootstrap_servers and that the brokers run")
        return SinkRejected(text)


def _deleted_after(seconds: float) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(int(seconds * 1000))}


def _missing(topic: Topic) -> Difference:
    return Difference(topic.name, "topic", "there", MISSING, "run zendesk-chat-kafka provision")

"""Looks at a cluster with the connector's own credentials: what is there, and what they allow."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    AdminClient,
    ConfigResource,
    ResourceType,
)

from connector.adapters.log import kafka_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TIMEOUT: Final = 15.0
"""Seconds for one request."""

_NAMES: Final = {
    AclOperation.READ: "Read",
    AclOperation.WRITE: "Write",
    AclOperation.CREATE: "Create",
    AclOperation.DESCRIBE: "Describe",
    AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs",
}
_DENIED: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
_AWAY: Final = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)


class Seen(NamedTuple):
    """A topic as these credentials see it. ``exists``: None if they may not know."""

    exists: bool | None
    allowed: frozenset[str] = frozenset()
    replicas: int = 0
    """Fewest of any partition."""
    settings: Mapping[str, str] | None = None
    """None if they may not be seen."""


class Survey:
    """Questions to one cluster. Its methods block and raise KafkaException if it does not answer.

    Args:
        properties: librdkafka settings of a client.
    """

    def __init__(self, properties: Mapping[str, Any]) -> None:
        # What goes wrong is raised; its log lines would only repeat it.
        settings: dict[str, Any] = {**properties, "log_level": 0, "logger": kafka_logger()}
        self._client = AdminClient(settings)

    def topics(self, names: Sequence[str]) -> dict[str, Seen]:
        """Each topic: whether it is there, how it is kept, what is allowed on it."""
        asked = self._client.describe_topics(
            TopicCollection(list(names)), include_authorized_operations=True, request_timeout=TIMEOUT
        )
        seen = {name: _topic(future) for name, future in asked.items()}
        # Settings may be seen of topics that are otherwise hidden.
        there = [name for name, one in seen.items() if one.exists is not False]
        for name, settings in self._settings(there).items():
            allowed = seen[name].allowed | {"DescribeConfigs"}
            seen[name] = seen[name]._replace(settings=settings, allowed=allowed)
        return seen

    def group(self, name: str) -> frozenset[str]:
        """What is allowed on a consumer group, which need not exist."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            asked = self._client.describe_consumer_groups(
                [name], include_authorized_operations=True, request_timeout=TIMEOUT
            )
            try:
                return _allowed(asked[name].result())
            except KafkaException as error:
                code = error.args[0].code()
                if code in _DENIED:
                    return frozenset()
                # The first group of a new cluster makes it create the groups' own topic.
                if code not in _AWAY or time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def _settings(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        asked = self._client.describe_configs(resources, request_timeout=TIMEOUT)
        found = {}
        for resource, future in asked.items():
            with _denied_left_out():
                found[resource.name] = {key: str(entry.value) for key, entry in future.result().items()}
        return found


@contextmanager
def _denied_left_out() -> Iterator[None]:
    """What these credentials may not know is left out."""
    try:
        yield
    except KafkaException as error:
        if error.args[0].code() not in (*_DENIED, KafkaError.UNKNOWN_TOPIC_OR_PART):
            raise


def _topic(future: Any) -> Seen:
    try:
        found = future.result()
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return Seen(exists=False)
        if code in _DENIED:
            return Seen(exists=None)
        raise
    replicas = min(len(partition.replicas) for partition in found.partitions)
    return Seen(exists=True, allowed=_allowed(found), replicas=replicas)


def _allowed(description: Any) -> frozenset[str]:
    """Names of the operations; brokers older than 2.3 do not tell them."""
    return frozenset(_NAMES[one] for one in description.authorized_operations or () if one in _NAMES)

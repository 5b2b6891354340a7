"""The replicas of an account, as the description of their consumer group shows them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from connector.adapters.log import kafka_logger
from connector.errors import SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT: Final = 8.0
"""Seconds for one description."""


class Replica(NamedTuple):
    """One member of the group. ``name`` is its client id."""

    name: str
    host: str
    shards: tuple[int, ...]


class Members:
    """Describes one consumer group, as often as it is asked.

    Args:
        properties: librdkafka settings of a client.
    """

    def __init__(self, properties: Mapping[str, Any], group: str) -> None:
        settings: dict[str, Any] = {**properties, "logger": kafka_logger()}
        self._client = AdminClient(settings)
        self._group = group

    async def describe(self) -> list[Replica]:
        """The members now, by name.

        Raises:
            SinkUnavailable: Kafka did not tell.
        """
        # Its log lines wait for this.
        self._client.poll(0)
        asked = self._client.describe_consumer_groups([self._group], request_timeout=TIMEOUT)
        try:
            found = await asyncio.wrap_future(asked[self._group])
        except KafkaException as error:
            raise SinkUnavailable(f"Kafka: group {self._group}: {error.args[0].str()}") from error
        return sorted(_replica(member) for member in found.members)


def _replica(member: Any) -> Replica:
    shards = sorted(place.partition for place in member.assignment.topic_partitions)
    return Replica(member.client_id, member.host.removeprefix("/"), tuple(shards))

"""The replicas of an account, as the description of their consumer group shows them."""

from __future__ import annotations

import asyncio
import struct
import warnings
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

    It asks with librdkafka's old call: the Admin API's description of groups aborts the whole process if a
    connection breaks at the wrong moment (librdkafka issue 4605).

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
        return await asyncio.to_thread(self._describe)

    def _describe(self) -> list[Replica]:
        # Its log lines wait for this.
        self._client.poll(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                groups: list[Any] = self._client.list_groups(self._group, timeout=TIMEOUT)
        except KafkaException as failure:
            raise SinkUnavailable(f"Kafka: group {self._group}: {failure.args[0].str()}") from failure
        error = groups[0].error if groups else None
        if not groups or error is not None:
            reason = error.str() if error is not None else "not known"
            raise SinkUnavailable(f"Kafka: group {self._group}: {reason}")
        return sorted(_replica(member) for member in groups[0].members)


def _replica(member: Any) -> Replica:
    return Replica(member.client_id, member.client_host.removeprefix("/"), tuple(sorted(_shards(member.assignment))))


def _shards(assignment: bytes) -> list[int]:
    """The partitions in a consumer's assignment: version, then topics, each a text with a list of numbers."""
    if not assignment:
        return []
    _version, topics = struct.unpack_from(">hi", assignment)
    at = 6
    found: list[int] = []
    for _ in range(topics):
        at += 2 + int(struct.unpack_from(">h", assignment, at)[0])
        (count,) = struct.unpack_from(">i", assignment, at)
        found += struct.unpack_from(f">{count}i", assignment, at + 4)
        at += 4 + 4 * count
    return found

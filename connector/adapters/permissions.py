"""What the connector needs to be allowed in Kafka, and what it is allowed. Changes nothing and disturbs nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from connector.config import Config, Kafka

_FLAGS: Final = {"topic": "--topic", "group": "--group", "transactional-id": "--transactional-id"}
IMPLIED: Final = {"Describe": frozenset({"Read", "Write"})}
"""Operations that others bring with them."""


class Grant(NamedTuple):
    """One permission of the connector's principal. ``kind``: topic, group or transactional-id."""

    kind: str
    name: str
    operation: str
    """As Kafka's command line names it: Read, Write, DescribeConfigs, …"""
    why: str
    pattern: str = "literal"
    needed: bool = True
    """False: only `check` uses it."""

    def command(self, principal: str) -> str:
        """The command line that grants it."""
        prefixed = "" if self.pattern == "literal" else " --resource-pattern-type prefixed"
        target = f"{_FLAGS[self.kind]} {self.name}{prefixed}"
        return f"kafka-acls --add --allow-principal {principal} --operation {self.operation} {target}"


def grants_of(config: Config, metrics: tuple[str, ...]) -> tuple[Grant, ...]:
    """Every permission that `run` needs, and no other; those of `check` alone are marked.

    ``metrics``: the metrics topics.
    """
    names = config.names
    written = [*metrics, names.gaps, names.dead_letters, names.heartbeats, names.offsets]
    latest = [] if names.latest is None else [names.latest]
    read = [*metrics, *latest, names.gaps, names.heartbeats, names.offsets]
    grants = [Grant("topic", name, "Write", "publishes") for name in (*written, *latest)]
    grants += [Grant("topic", name, "Read", "reads its progress back when it takes over") for name in read]
    grants.append(Grant("topic", names.control, "Read", "its partitions stand for the shards"))
    every = (*written, *latest, names.control)
    grants += [Grant("topic", name, "DescribeConfigs", "checks the settings at start") for name in every]
    grants.append(Grant("group", names.group, "Read", "the replicas share the shards"))
    whose = Grant("transactional-id", f"{names.group}.", "Write", "publishes in transactions", "prefixed")
    probe = Grant("topic", names.control, "Write", "check measures the time of a commit", needed=False)
    return (*grants, whose, probe)


def provision_grants(config: Config, metrics: tuple[str, ...]) -> tuple[Grant, ...]:
    """What `provision` needs, which may run with other credentials."""
    names = config.names
    fixed = (names.gaps, names.dead_letters, names.heartbeats, names.offsets, names.control)
    every = [*metrics, *fixed, *([] if names.latest is None else [names.latest])]
    operations = {"Create": "creates it", "DescribeConfigs": "compares its settings", "Describe": "looks for it"}
    return tuple(Grant("topic", name, operation, why) for name in every for operation, why in operations.items())


def covered(operation: str, allowed: Collection[str]) -> bool:
    """Whether the allowed operations bring this one with them."""
    return operation in allowed or bool(IMPLIED.get(operation, frozenset()) & set(allowed))


def principal_of(kafka: Kafka) -> str:
    """Who Kafka takes us for, as far as the configuration tells."""
    protocol = kafka.properties.get("security.protocol", "plaintext").lower()
    if "sasl" in protocol and "sasl.username" in kafka.properties:
        return f"User:{kafka.properties['sasl.username']}"
    if protocol == "ssl":
        return "User:<name in the client certificate>"
    return "User:<name of these credentials>" if "sasl" in protocol else "User:ANONYMOUS"

"""The checks of ``check`` that concern Kafka: permissions, topics, whether they can keep the promise, commit time."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException

from connector.adapters.admin import Admin, topics_of
from connector.adapters.permissions import covered, grants_of, principal_of
from connector.adapters.probe import Probe
from connector.adapters.reported import FENCED
from connector.adapters.survey import Survey
from connector.cli.finding import Finding, failed, weakness
from connector.errors import ConnectorError, SinkRejected, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from connector.adapters.permissions import Grant
    from connector.adapters.survey import Seen
    from connector.config import Config

COPIES: Final = 3
IN_SYNC: Final = 2
INTERNAL: Final = "__transaction_state"
"""Kafka's own memory of the transactions."""

_DENIED: Final = (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED)


def kafka_findings(config: Config, metrics: tuple[str, ...], *, probe: bool) -> list[Finding]:
    """Everything about the cluster. ``metrics``: the metrics topics; ``probe``: try transactions too."""
    if config.guarantee == "demo":
        return []
    try:
        admin = Admin(config.kafka, strict=config.guarantee == "strict")
        brokers = admin.brokers()
    except ConnectorError as error:
        return [failed("kafka", error)]
    try:
        return [_brokers(config, brokers), *_cluster(config, metrics, admin, probe=probe)]
    except ConnectorError as error:
        return [failed("kafka", error)]
    except KafkaException as error:
        text = f"Kafka {config.kafka.bootstrap_servers}: {error.args[0].str()} ({error.args[0].name()})"
        return [failed("kafka", SinkUnavailable(f"{text}; check kafka.bootstrap_servers and that the brokers run"))]


def _brokers(config: Config, brokers: int) -> Finding:
    if brokers < config.kafka.replication_factor:
        remedy = "fewer than kafka.replication_factor: topics cannot be created now"
        return Finding("warn", "kafka", f"{brokers} brokers", remedy)
    return Finding("pass", "kafka", f"{brokers} brokers")


def _cluster(config: Config, metrics: tuple[str, ...], admin: Admin, *, probe: bool) -> Iterator[Finding]:
    topics = topics_of(config, metrics)
    survey = Survey(config.kafka.connection())
    seen = survey.topics([topic.name for topic in topics])
    grants = grants_of(config, metrics)
    missing = _missing(grants, seen, config.names.group, survey.group(config.names.group))
    yield from _permissions(config, missing)
    closed = {one.name for one in missing if one.operation in ("Describe", "DescribeConfigs")}
    hidden = closed | {name for name, one in seen.items() if one.exists is None}
    visible = [topic for topic in topics if topic.name not in hidden]
    yield from _differences(admin, visible)
    yield from _durability(config, {name: one for name, one in seen.items() if one.exists})
    yield from _transactions(config, survey)
    if probe and seen[config.names.control].exists is not False:
        yield from _probe(config, grants)


# Permissions.


def _missing(grants: Iterable[Grant], seen: Mapping[str, Seen], group: str, on_group: frozenset[str]) -> list[Grant]:
    """What the credentials may not do, of what can be known without trying. A missing topic hides nothing."""
    allowed = {name: one.allowed for name, one in seen.items() if one.exists is not False}
    allowed[group] = on_group
    told = [one for one in grants if one.needed and one.kind != "transactional-id"]
    return [one for one in told if one.name in allowed and not covered(one.operation, allowed[one.name])]


def _permissions(config: Config, missing: Iterable[Grant]) -> Iterator[Finding]:
    principal = principal_of(config.kafka)
    denied = False
    for one in missing:
        denied = True
        yield _denied(one, principal)
    if not denied:
        yield Finding("pass", "permissions", f"{principal} may do all it needs on topics and group")


def _denied(grant: Grant, principal: str, *, state: str = "fail") -> Finding:
    text = f"{principal} lacks {grant.operation} on {grant.kind} {grant.name} ({grant.why})"
    code = SinkRejected.exit_code if state == "fail" else 0
    return Finding(state, "permissions", text, grant.command(principal), code)


# Topics.


def _differences(admin: Admin, topics: list[Any]) -> Iterator[Finding]:
    differences = admin.inspect(topics) if topics else []
    for one in differences:
        text, _, remedy = one.text.partition("; ")
        yield Finding("fail" if one.fatal else "warn", "topics", text, remedy, 4 if one.fatal else 0)
    if topics and not differences:
        yield Finding("pass", "topics", f"{len(topics)} as configured")


def _durability(config: Config, seen: Mapping[str, Seen]) -> Iterator[Finding]:
    """What the promise needs of each topic, whatever is configured."""
    weak = defaultdict(list)
    for name, one in seen.items():
        for found in _weaknesses(one):
            weak[found].append(name)
    for (text, remedy), names in weak.items():
        where = "every topic" if 1 < len(names) == len(seen) else ", ".join(names)
        yield weakness(config, "durability", f"{text}: {where}", remedy)
    if seen and not weak:
        yield Finding("pass", "durability", f"every topic outlives the loss of a broker ({len(seen)} topics)")


def _weaknesses(seen: Seen) -> Iterator[tuple[str, str]]:
    if seen.replicas < COPIES:
        yield f"replication factor {seen.replicas}, below {COPIES}", "reassign its partitions to three brokers"
    if seen.settings is None:
        return
    in_sync = int(seen.settings.get("min.insync.replicas", IN_SYNC))
    if in_sync < IN_SYNC:
        remedy = f"alter it with kafka-configs: min.insync.replicas={IN_SYNC}"
        yield f"min.insync.replicas {in_sync}, below {IN_SYNC}", remedy
    if seen.settings.get("unclean.leader.election.enable") == "true":
        remedy = "alter it with kafka-configs: unclean.leader.election.enable=false"
        yield "an unclean leader election may lose acknowledged records", remedy


def _transactions(config: Config, survey: Survey) -> Iterator[Finding]:
    """Kafka's own topic, if the credentials show it: it is as important as ours, but often kept from clients."""
    seen = survey.topics([INTERNAL])[INTERNAL]
    if seen.exists:
        yield from _durability(config, {INTERNAL: seen})
    elif seen.exists is None:
        text = f"topic {INTERNAL} is hidden from {principal_of(config.kafka)}: not checked"
        yield Finding("pass", "durability", text)


# Transactions.


def _probe(config: Config, grants: Iterable[Grant]) -> Iterator[Finding]:
    """Try what `run` does, with an id of its own: the running owner notices nothing."""
    names, principal = config.names, principal_of(config.kafka)
    own, write = (one for one in grants if one.kind == "transactional-id" or not one.needed)
    probe = Probe(config.kafka.connection(), f"{names.group}.check")
    try:
        probe.begin()
    except KafkaException as error:
        yield _denied(own, principal) if error.args[0].code() in _DENIED else _untried(error.args[0])
        return
    yield Finding("pass", "permissions", f"{principal} may use transactional ids {names.group}.*")
    try:
        seconds = probe.commit_time(names.control, 0)
    except KafkaException as error:
        denied = error.args[0].code() in _DENIED
        yield _denied(write, principal, state="warn") if denied else _untried(error.args[0])
        return
    yield _commit_time(config, seconds)


def _untried(error: KafkaError) -> Finding:
    if error.code() in FENCED:
        return Finding("warn", "commits", "not measured: another check runs now", "try again")
    text = f"a transaction on trial failed: {error.str()} ({error.name()})"
    return Finding("fail", "commits", text, "check the brokers' logs", SinkUnavailable.exit_code)


def _commit_time(config: Config, seconds: float) -> Finding:
    slow = config.kafka.slow_commit
    text = f"median {seconds * 1000:.0f} ms, kafka.slow_commit is {slow * 1000:.0f} ms"
    if seconds > slow / 3:
        remedy = f"set kafka.slow_commit to {max(1, round(seconds * 5 + 0.5))}s, or find out why the brokers are slow"
        return Finding("warn", "commits", text, remedy)
    return Finding("pass", "commits", text)

"""The topics of one configuration as an AsyncAPI 3 document: channels, messages with their Avro schemas, bindings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connector import __version__
from connector.adapters.admin import topics_of
from connector.adapters.schema_files import schema_text
from connector.domain.headers import FORMS

if TYPE_CHECKING:
    from connector.config import Config

AVRO: Final = "application/vnd.apache.avro;version=1.9.0"
CONTENT_TYPE: Final = "application/vnd.zendesk-chat.avro-framed"
BINDING: Final = "0.5.0"


class Kind(NamedTuple):
    """What the topics of one kind hold, and the contract in a few sentences."""

    message: str
    """Name of the message."""
    schema: str
    """File of the schema, without .avsc."""
    event: str
    """Last part of the header ce_type; empty: records without headers."""
    title: str
    key: str
    promise: str


KINDS: Final = {
    "metrics": Kind(
        "MetricUpdate",
        "metric-update",
        "metric-update",
        "Updates",
        "department id as decimal text; all for account-wide series",
        "Every update once, ordered by series: sequence is +1 from record to record, and where epoch steps a final gap"
        " says what may be missing. Event time is received_at, the Kafka timestamp. Never a null value. No order across"
        " series, no replay by the source.",
    ),
    "latest": Kind(
        "MetricUpdate",
        "metric-update",
        "metric-update",
        "Newest value of each series",
        "account/series",
        "Compacted; written in the transaction of the update. A tombstone says that the series is no longer followed.",
    ),
    "gaps": Kind(
        "Gap",
        "gap",
        "gap",
        "Declared gaps",
        "department id as decimal text; all for account-wide series",
        "One or two records with the same gap_id: an open one if the gap is still open at the first commit after it was"
        " noticed, and exactly one final one, in the transaction that commits the new epoch. Co-partitioned with"
        " metrics.",
    ),
    "dead_letters": Kind(
        "DeadLetter",
        "dead-letter",
        "dead-letter",
        "What could not become a record",
        "department id as decimal text; all, or unknown",
        "Byte for byte, cut where truncated says so; payload_sha256 is that of the whole. Its series has a gap.",
    ),
    "heartbeats": Kind(
        "Heartbeat",
        "heartbeat",
        "heartbeat",
        "Heartbeats",
        "account/partition",
        "One for each partition of metrics and interval, in a transaction, independent of traffic. complete_through,"
        " the Kafka timestamp, is what watermarks follow. heartbeat_seq is +1 per partition, without holes.",
    ),
    "offsets": Kind(
        "SourceOffset",
        "source-offset",
        "",
        "Progress of the connector",
        "account/series; account/#shard for the row of a shard",
        "The connector's memory: compacted, one partition per shard, addressed explicitly, never a tombstone. Readable,"
        " but made for the connector and verify.",
    ),
}
"""Kinds of topics by their key in the configuration; ``control`` holds no records."""


def document(config: Config, metrics: tuple[str, ...]) -> dict[str, Any]:
    """The AsyncAPI document. ``metrics``: every metrics topic, see `cli.provision.metrics_topics`."""
    kinds = _kinds(config, metrics)
    topics = {topic.name: topic for topic in topics_of(config, metrics)}
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": f"Zendesk Chat metrics of {config.account} in Kafka",
            "version": __version__,
            "description": "Live metrics of Zendesk Chat. Values are framed: a zero byte, the schema id in four bytes,"
            " then Avro. Read with isolation.level=read_committed.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": _servers(config),
        "channels": {_id(name): _channel(config, name, kinds[name], topics[name]) for name in kinds},
        "operations": {f"write-{_id(name)}": _operation(name, kinds[name]) for name in kinds},
        "components": {
            "messages": {KINDS[key].message: _message(config, key) for key in dict.fromkeys(kinds.values())},
        },
    }


def _kinds(config: Config, metrics: tuple[str, ...]) -> dict[str, str]:
    """The kind of each topic with records."""
    named = dict.fromkeys(metrics, "metrics")
    for key in KINDS:
        name = getattr(config.names, key) if key != "metrics" else None
        if name is not None:
            named[name] = key
    return named


def _id(topic: str) -> str:
    """A channel's id: tools want no dots in it."""
    return topic.replace(".", "-")


def _servers(config: Config) -> dict[str, Any]:
    protocol = config.kafka.properties.get("security.protocol", "PLAINTEXT").upper()
    secure = protocol.endswith("SSL")
    bindings = {
        "kafka": {
            # A password in a URL is refused by the configuration.
            "schemaRegistryUrl": config.registry.urls[0],
            "schemaRegistryVendor": "confluent",
            "bindingVersion": BINDING,
        }
    }
    hosts = [host.strip() for host in config.kafka.bootstrap_servers.split(",")]
    return {
        f"kafka-{number}": {
            "host": host,
            "protocol": "kafka-secure" if secure else "kafka",
            "description": f"Bootstrap server, {protocol}",
            "bindings": bindings,
        }
        for number, host in enumerate(hosts, 1)
    }


def _channel(config: Config, name: str, key: str, topic: Any) -> dict[str, Any]:
    kind = KINDS[key]
    settings = topic.settings
    configuration: dict[str, Any] = {"cleanup.policy": [settings["cleanup.policy"]]}
    if "retention.ms" in settings:
        configuration["retention.ms"] = int(settings["retention.ms"])
    return {
        "address": name,
        "title": kind.title,
        "description": kind.promise,
        "messages": {kind.message: {"$ref": f"#/components/messages/{kind.message}"}},
        "bindings": {
            "kafka": {
                "topic": name,
                "partitions": topic.partitions,
                "replicas": config.kafka.replication_factor,
                "topicConfiguration": configuration,
                "bindingVersion": BINDING,
            }
        },
    }


def _operation(name: str, key: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{_id(name)}"},
        "summary": f"The connector writes {KINDS[key].title.lower()}",
        "messages": [{"$ref": f"#/channels/{_id(name)}/messages/{KINDS[key].message}"}],
    }


def _message(config: Config, key: str) -> dict[str, Any]:
    kind = KINDS[key]
    schema = json.loads(schema_text(kind.schema))
    message: dict[str, Any] = {
        "name": kind.message,
        "title": kind.title,
        "summary": schema["doc"],
        "contentType": CONTENT_TYPE,
        "payload": {"schemaFormat": AVRO, "schema": schema},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": _keys(kind.message)},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicNameStrategy",
                "bindingVersion": BINDING,
            }
        },
    }
    headers = _headers(config, kind.event)
    return message if headers is None else {**message, "headers": headers}


def _keys(message: str) -> str:
    """What the keys of a message are, in every topic that holds it."""
    named = [(key, kind.key) for key, kind in KINDS.items() if kind.message == message]
    if len(named) == 1:
        return f"UTF-8: {named[0][1]}"
    return "UTF-8; " + "; ".join(f"in {key}: {text}" for key, text in named)


def _headers(config: Config, event: str) -> dict[str, Any] | None:
    """The headers of a message as a JSON schema, from what the connector itself would write."""
    written = FORMS[config.headers](config.account)(event, "", "", 0, 0) if event else None
    if not written:
        return None
    constant = {"ce_specversion", "ce_source", "ce_type", "ce_dataschema", "content-type"}
    properties = {
        name: {"type": "string", "const": text.decode()} if name in constant else {"type": "string"}
        for name, text in written
    }
    return {"type": "object", "required": list(properties), "properties": properties}

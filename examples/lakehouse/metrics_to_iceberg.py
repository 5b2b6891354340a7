"""Copy metrics into an Iceberg table with PyIceberg, each update once, and query it with DuckDB.

Every append stores, in the summary of its snapshot, the Kafka position behind it: table and position change together,
so a restart goes on exactly there. The catalog is a SQLite file; any Iceberg catalog does (see PyIceberg's manual).
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
REGISTRY = os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")
TOPIC = os.environ.get("PREFIX", "zendesk.chat") + ".metrics"
OUT = Path(os.environ.get("OUT", "/tmp/zendesk-chat")) / "lakehouse"
POSITION = "kafka-position"
ROWS_AT_ONCE = 10_000

TYPES = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "timestamp-millis": pa.timestamp("us", tz="UTC"),
}
"""Avro's types to those of the columns."""

AVERAGES = """
    SELECT department_id, metric, window_minutes, count(*) AS updates, round(avg(value), 2) AS average
    FROM metrics GROUP BY ALL ORDER BY ALL LIMIT 20
"""


def columns(registry: SchemaRegistryClient) -> pa.Schema:
    """The columns of the newest registered version: those of all versions, since fields are only ever appended."""
    schema = json.loads(registry.get_latest_version(f"{TOPIC}-value").schema.schema_str)
    return pa.schema([column(field["name"], field["type"]) for field in schema["fields"]])


def column(name: str, kind: object) -> pa.Field:
    """One field: a plain type, or one that may be null."""
    nullable = isinstance(kind, list)
    plain = kind[1] if nullable else kind
    word = plain.get("logicalType", plain["type"]) if isinstance(plain, dict) else plain
    return pa.field(name, TYPES[word], nullable=nullable)


def open_table(rows: pa.Schema) -> Table:
    """The table, made at the first call; columns of a newer version are added."""
    OUT.mkdir(parents=True, exist_ok=True)
    catalog = SqlCatalog("zendesk", uri=f"sqlite:///{OUT}/catalog.db", warehouse=f"file://{OUT}")
    catalog.create_namespace_if_not_exists("chat")
    table = catalog.create_table_if_not_exists("chat.metrics", schema=rows)
    with table.update_schema() as update:
        update.union_by_name(rows)
    return table


def position_of(table: Table) -> dict[int, int]:
    """Partition to next offset, as the newest snapshot has it."""
    snapshot = table.current_snapshot()
    if snapshot is None or snapshot.summary is None:
        return {}
    return {int(number): offset for number, offset in json.loads(snapshot.summary[POSITION]).items()}


def append(table: Table, rows: list[dict], position: dict[int, int]) -> None:
    """One snapshot: rows and position together, or neither. A row of an earlier version has null in later columns."""
    content = pa.Table.from_pylist(rows, schema=table.schema().as_arrow())
    table.append(content, snapshot_properties={POSITION: json.dumps(position)})


def copy(table: Table, registry: SchemaRegistryClient) -> int:
    """Copy what lies behind the table's position up to the end of the topic; the number of rows."""
    decode = AvroDeserializer(registry, conf={"subject.name.strategy": topic_subject_name_strategy})
    context = SerializationContext(TOPIC, MessageField.VALUE)
    # No group: the position lives in the table. The end of a partition is told behind commit markers too.
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": "lakehouse",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    position = position_of(table)
    topic = consumer.list_topics(TOPIC, timeout=20).topics[TOPIC]
    behind = set(topic.partitions)
    consumer.assign([TopicPartition(TOPIC, number, position.get(number, OFFSET_BEGINNING)) for number in behind])
    rows: list[dict] = []
    copied = 0
    while behind:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  (its public name)
                raise KafkaException(message.error())
            behind.discard(message.partition())
            continue
        rows.append(decode(message.value(), context))
        position[message.partition()] = message.offset() + 1
        if len(rows) == ROWS_AT_ONCE:
            append(table, rows, position)
            copied += len(rows)
            rows = []
    if rows:
        append(table, rows, position)
    consumer.close()
    return copied + len(rows)


def main() -> None:
    """Copy, then ask."""
    began = datetime.now(UTC)
    registry = SchemaRegistryClient({"url": REGISTRY})
    table = open_table(columns(registry))
    copied = copy(table, registry)
    metrics = table.scan().to_arrow()
    print(f"{copied} rows copied in {(datetime.now(UTC) - began).total_seconds():.1f} s, {len(metrics)} in the table")
    with duckdb.connect() as database:
        database.register("metrics", metrics)
        print(database.sql(AVERAGES))


if __name__ == "__main__":
    main()

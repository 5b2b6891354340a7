"""Print committed updates as they come: ``python tail.py [--from-beginning] [--until-end] [--json]``.

Needs `pip install "confluent-kafka[avro,schemaregistry]"` and, in the environment, KAFKA_BOOTSTRAP_SERVERS,
SCHEMA_REGISTRY_URL and, unless it is ``zendesk.chat``, PREFIX.
"""

from __future__ import annotations

import argparse
import json
import os
import uuid

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = f"{os.environ.get('PREFIX', 'zendesk.chat')}.metrics"


def main(*, from_beginning: bool, until_end: bool, as_json: bool) -> None:
    """Read all partitions, without a group: nothing is committed, nobody is disturbed."""
    registry = SchemaRegistryClient({"url": os.environ["SCHEMA_REGISTRY_URL"]})
    # The default strategy asks some registries what they do not know, and fails.
    decode = AvroDeserializer(registry, conf={"subject.name.strategy": topic_subject_name_strategy})
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"tail-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    known = consumer.list_topics(TOPIC, timeout=30).topics[TOPIC]
    if known.error is not None:
        raise KafkaException(known.error)
    start = OFFSET_BEGINNING if from_beginning else OFFSET_END
    consumer.assign([TopicPartition(TOPIC, partition, start) for partition in known.partitions])
    unfinished = set(known.partitions)
    while unfinished or not until_end:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error() is None:
            try:
                update = decode(message.value(), SerializationContext(TOPIC, MessageField.VALUE))
            except SchemaRegistryError as error:
                raise SystemExit(f"registry: HTTP {error.http_status_code}: {error.error_message}") from error
            print(json.dumps(update, default=str) if as_json else line(message.key().decode(), update), flush=True)
        elif message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the public name of the code
            unfinished.discard(message.partition())
        else:
            raise KafkaException(message.error())
    consumer.close()


def line(key: str, update: dict) -> str:
    """One update for people."""
    value = "null" if update["value"] is None else f"{update['value']:g}"
    return f"{update['received_at']:%H:%M:%S}  {key:>14}  {update['series']:<44} {value:>8} {update['unit']}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from-beginning", action="store_true", help="everything that is kept, not only what is new")
    parser.add_argument("--until-end", action="store_true", help="end at the end of the topic")
    parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")
    main(**vars(parser.parse_args()))

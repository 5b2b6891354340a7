"""Topics on a real broker."""

import uuid

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connector.adapters.admin import Admin, Difference, Topic, refuse, topics_of
from connector.config import Config, Kafka
from connector.domain.partition import partition_for
from connector.errors import ConfigError, SinkRejected, SinkUnavailable


def config_of(bootstrap, **kafka):
    return Config.model_validate(
        {
            "account": "acme",
            "guarantee": "best-effort",
            "source": {"token_file": "/t"},
            "subscriptions": [{"metrics": ["agents.*"]}],
            "topics": {"prefix": f"t{uuid.uuid4().hex[:8]}"},
            "kafka": {
                "bootstrap_servers": bootstrap,
                "partitions": 4,
                "shards": 2,
                "replication_factor": 1,
                "min_insync_replicas": 1,
                **kafka,
            },
            "registry": {"urls": ["http://localhost"]},
        }
    )


def admin_of(config):
    return Admin(config.kafka, strict=config.guarantee == "strict")


def wanted(config):
    return topics_of(config, config.metrics_topics())


def changed(config, **kafka):
    return config.model_copy(update={"kafka": config.kafka.model_copy(update=kafka)})


def test_what_the_topics_are():
    config = config_of("localhost")
    shapes = {topic.name.removeprefix(config.topics.prefix): topic for topic in wanted(config)}
    assert {name: (topic.partitions, topic.settings["cleanup.policy"]) for name, topic in shapes.items()} == {
        ".metrics": (4, "delete"),
        ".latest": (1, "compact"),
        ".gaps": (4, "delete"),
        ".dead-letters": (4, "delete"),
        ".acme.heartbeats": (4, "delete"),
        ".acme.offsets": (2, "compact"),
        ".acme.control": (2, "delete"),
    }
    assert shapes[".metrics"].settings["retention.ms"] == str(7 * 86_400_000)
    assert "retention.ms" not in shapes[".acme.offsets"].settings


@pytest.mark.kafka
def test_provision_is_idempotent_and_a_dry_run_changes_nothing(kafka_bootstrap):
    config = config_of(kafka_bootstrap)
    admin, topics = admin_of(config), wanted(config)
    assert {one.found for one in admin.inspect(topics)} == {"missing"}
    assert {one.action for one in admin.provision(topics, dry_run=True)} == {"to create"}
    assert len(admin.inspect(topics)) == 7
    assert {one.action for one in admin.provision(topics)} == {"created"}
    assert {one.action for one in admin.provision(topics)} == {"unchanged"}
    assert admin.inspect(topics) == []


@pytest.mark.kafka
def test_each_difference_is_named(kafka_bootstrap):
    config = config_of(kafka_bootstrap)
    names = config.names
    client = AdminClient({"bootstrap.servers": kafka_bootstrap})
    made = [
        NewTopic(f"{config.topics.prefix}.metrics", 3, 1, config={"cleanup.policy": "compact"}),
        NewTopic(names.offsets, 1, 1, config={"cleanup.policy": "delete"}),
        NewTopic(names.gaps, 4, 1, config={"message.timestamp.type": "LogAppendTime"}),
    ]
    for future in client.create_topics(made, operation_timeout=10).values():
        future.result()
    found = []
    while len({one.topic for one in found}) < len(made):
        found = [one for one in admin_of(config).inspect(wanted(config)) if one.found != "missing"]
    assert {(one.topic.removeprefix(config.topics.prefix), one.what, one.expected, one.found) for one in found} == {
        (".metrics", "partition count", "4", "3"),
        (".metrics", "cleanup.policy", "delete", "compact"),
        (".acme.offsets", "partition count", "2", "1"),
        (".acme.offsets", "cleanup.policy", "compact", "delete"),
        (".gaps", "message.timestamp.type", "CreateTime", "LogAppendTime"),
    }
    texts = [one.text for one in found]
    assert (
        f"topic {names.offsets}: partition count is 1, not 2;"
        " set kafka.shards: 1, or provision under another topics.prefix"
    ) in texts
    with pytest.raises(SinkRejected, match=r"and \d+ more"):
        refuse(found)
    results = {one.topic: one.action for one in admin_of(config).provision(wanted(config))}
    assert results[names.offsets] == "differs"
    assert results[names.latest] == "created"


@pytest.mark.kafka
def test_too_few_replicas(kafka_bootstrap):
    config = config_of(kafka_bootstrap)
    admin_of(config).provision(wanted(config))
    more = changed(config, replication_factor=50, min_insync_replicas=2)
    found = Admin(more.kafka, strict=True).inspect(wanted(config))
    assert {(one.what, one.fatal) for one in found} == {("replication factor", False), ("min.insync.replicas", True)}
    assert not any(one.fatal for one in Admin(more.kafka, strict=False).inspect(wanted(config)))
    fresh = config_of(kafka_bootstrap, replication_factor=50)
    with pytest.raises(
        SinkRejected, match=r"kafka\.replication_factor: 50 is more than the cluster's \d+; add brokers"
    ):
        admin_of(fresh).provision(wanted(fresh))


@pytest.mark.kafka
def test_librdkafka_chooses_the_partitions_that_we_compute(kafka_bootstrap):
    """With murmur2_random, as every Java client does; its default partitioner disagrees."""
    topic = f"t{uuid.uuid4().hex[:8]}"
    client = AdminClient({"bootstrap.servers": kafka_bootstrap})
    client.create_topics([NewTopic(topic, 12, 1)], operation_timeout=10)[topic].result()
    keys = [str(13388700431505 + at).encode() for at in range(200)] + [b"all", b"unknown", "ü".encode()]

    def chosen(partitioner):
        found = {}

        def delivered(error, message):
            assert error is None
            found[message.key()] = message.partition()

        producer = Producer({"bootstrap.servers": kafka_bootstrap, "partitioner": partitioner})
        for key in keys:
            producer.produce(topic, b"", key, on_delivery=delivered)
        assert producer.flush(30) == 0
        return found

    computed = {key: partition_for(key, 12) for key in keys}
    assert chosen("murmur2_random") == computed
    assert chosen("consistent_random") != computed
    consumer = Consumer({"bootstrap.servers": kafka_bootstrap, "group.id": topic})
    assert sum(consumer.get_watermark_offsets(TopicPartition(topic, p))[1] for p in range(12)) == 2 * len(keys)
    consumer.close()


def test_no_broker(monkeypatch):
    monkeypatch.setattr("connector.adapters.admin.TIMEOUT", 1.0)
    with pytest.raises(SinkUnavailable, match=r"Kafka 127\.0\.0\.1:1: cluster: .*; check kafka\.bootstrap_servers"):
        Admin(Kafka(bootstrap_servers="127.0.0.1:1"), strict=True).brokers()


def test_unknown_setting():
    with pytest.raises(ConfigError, match=r'kafka\.properties: No such configuration property: "no\.such"'):
        Admin(Kafka(bootstrap_servers="x", properties={"no.such": "1"}), strict=True)


def test_refuse_names_the_first_fatal_difference():
    harmless = Difference("t", "replication factor", "3", "1", "reassign", fatal=False)
    fatal = Difference("t", "cleanup.policy", "delete", "compact", "alter it")
    refuse([harmless])
    with pytest.raises(SinkRejected) as caught:
        refuse([harmless, fatal])
    assert str(caught.value) == "topic t: cleanup.policy is compact, not delete; alter it"


def test_topic_remembers_its_setting():
    assert Topic("t", 1, {}).partitions_from == "kafka.partitions"

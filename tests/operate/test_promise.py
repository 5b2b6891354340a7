"""Which promise holds while it runs: a topic altered on the real broker is told within the interval, and unsaid."""

from __future__ import annotations

import json
import urllib.request
from itertools import groupby

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from waiting import wait_until

from connector.local.process import free_port

UNCLEAN = "an unclean leader election may lose acknowledged records"


def alter(kafka, topic, value):
    """Set unclean.leader.election.enable of the topic; None takes it back."""
    change = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
    entry = ConfigEntry("unclean.leader.election.enable", value, incremental_operation=change)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.incremental_alter_configs([resource])[resource].result(30)


def test_a_topic_that_is_altered_under_a_running_connector_is_told(make_stage):
    port = free_port()
    stage = make_stage(config={"http": {"port": port}, "kafka": {"check_interval": "1s"}})
    connector = stage.start_connector()

    def guarantee():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?series=none", timeout=10) as answer:
            return json.load(answer)["guarantee"]

    wait_until(lambda: stage.alive() and stage.control("stats")["frames"] >= 200, 60, stage.log)
    topic = stage.topics["metrics"]
    before = guarantee()
    assert (before["holds"], UNCLEAN in before["why"]) == (False, False)
    alter(stage.kafka, topic, "true")
    wait_until(lambda: f"{UNCLEAN}: {topic}" in guarantee()["why"], 60, stage.log)
    alter(stage.kafka, topic, None)
    wait_until(lambda: UNCLEAN not in guarantee()["why"], 60, stage.log)
    stage.settle()
    assert stage.stop(connector) == 0
    told = [json.loads(line) for line in stage.log().splitlines() if '"promise"' in line]
    # Kafka's own topic of transactions, which the first of them makes, may be told of too.
    assert [key for key, _ in groupby(UNCLEAN in "".join(line["why"]) for line in told)] == [False, True, False]
    assert {message.value["epoch"] for message in stage.read("metrics")} == {1}

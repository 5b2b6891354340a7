"""`dead-letters` with real ones: a frame for every reason there is, and a record that Kafka refuses."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from stage import read_topic
from waiting import wait_until

from connector.protocol.verdicts import REASONS

SERIES = "chats.waiting_time_max||1"
LONG = "1." + "7482910563" * 6
"""A number that makes a record 60 bytes longer than others."""
ROOM = 61 + 12 + 25
"""Bytes of a batch with one record besides key, value and headers, and what an ordinary record may vary."""


def update(data, topic="chats", department=1):
    content = f'{{"topic":"{topic}","data":{data},"type":"update","department_id":{department}}}'
    return f'{{"content":{content},"status_code":200}}'.encode()


def waiting(literal):
    return f'{{"waiting_time_max":{literal}}}'


FRAMES = {
    "invalid_utf8": b"\xff\xfe\xfd",
    "invalid_json": b"not json",
    "not_finite": update(waiting("NaN")),
    "duplicate_key": b'{"status_code":200,"status_code":200}',
    "lone_surrogate": b'{"status_code":200,"message":"\\ud800"}',
    "too_deep": b"[" * 20 + b"]" * 20,
    "missing_field": b'{"content":{"topic":"chats","type":"update","department_id":1},"status_code":200}',
    "wrong_type": update(waiting('"12"')),
    "bad_status": b'{"status_code":100,"message":"x"}',
    "bad_department": update(waiting(1), department=-1),
    "unknown_topic": update(waiting(1), topic="visitors"),
    "no_value": update("{}"),
    "unknown_metric": update('{"nonsense":1}'),
    "unknown_window": update('{"missed_chats":{"45":1}}'),
    "number_too_long": update(waiting("1" * 65)),
    "number_out_of_range": update(waiting("1e400")),
}


def limit_records(stage):
    """From now on the topics take records as large as those so far, and refuse `LONG`."""
    admin = AdminClient({"bootstrap.servers": stage.kafka, "log_level": 0})
    resources = []
    for name in ("metrics", "latest"):
        values: list[bytes] = []
        found = read_topic(stage.kafka, stage.decode, stage.topics[name], raw=values)
        around = max(
            len(one.key) + sum(len(header) + len(text) for header, text in one.headers.items()) for one in found
        )
        limit = str(max(map(len, values)) + around + ROOM)
        entry = ConfigEntry("max.message.bytes", limit, incremental_operation=AlterConfigOpType.SET)
        resources.append(ConfigResource(ConfigResource.Type.TOPIC, stage.topics[name], incremental_configs=[entry]))
    for answer in admin.incremental_alter_configs(resources).values():
        answer.result(30)


def subscribed(stage):
    return any(one["subscriptions"] for one in stage.sent()["sessions"])


def push(stage, literal):
    stage.control("value", series=SERIES, raw=literal)


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_there_is_a_frame_for_every_reason(reason):
    assert reason in FRAMES


def test_every_dead_letter_is_listed_and_explained(make_stage):
    subscriptions = [{"metrics": ["chats.waiting_time_max"], "departments": [1]}]
    kafka = {"properties": {"batch.size": 1, "compression.type": "none"}}
    stage = make_stage(rate=None, config={"subscriptions": subscriptions, "kafka": kafka})
    stage.control("pause")
    options = ("-c", str(stage.config_file))
    nothing = stage.command("dead-letters", *options)
    assert nothing.stdout == "No dead letter.\n"

    connector = stage.start_connector()
    wait_until(
        lambda: stage.alive() and any(one["subscriptions"] for one in stage.sent()["sessions"]), 240, "a session"
    )
    push(stage, "1")
    stage.settle()
    for frame in FRAMES.values():
        stage.control("raw", base64=base64.b64encode(frame).decode())
    push(stage, "2")
    stage.settle()
    limit_records(stage)
    push(stage, LONG)
    push(stage, "3")
    stage.settle()
    assert stage.stop(connector) == 0, stage.log()
    expected = {**FRAMES, "refused": LONG.encode()}

    rows = [json.loads(line) for line in stage.command("dead-letters", *options, "--json").stdout.splitlines()]
    letters = {row["value"]["error_class"]: row["value"] for row in rows}
    assert Counter(row["value"]["error_class"] for row in rows) == dict.fromkeys(expected, 1)
    for reason, payload in expected.items():
        letter = letters[reason]
        assert base64.b64decode(letter["payload_base64"]) == payload
        assert letter["payload_sha256"] == hashlib.sha256(payload).hexdigest()
        assert (letter["payload_size"], letter["truncated"]) == (len(payload), False)
        assert letter["stage"] == ("publish" if reason == "refused" else "decode")
        assert (letter["session_id"], letter["frame"] > 0) == (letters["refused"]["session_id"], True)
    assert letters["refused"]["series"] == letters["wrong_type"]["series"] == SERIES

    text = stage.command("dead-letters", *options).stdout
    for reason in FRAMES:
        assert f"1 times {reason}: {REASONS[reason]}; the source sent what its documentation does not" in text
    assert "1 times refused: Kafka will never accept the record; Kafka refused the record itself: compare" in text
    listed, _, _ = text.partition("\n\n")
    assert len(listed.splitlines()) == len(expected)

    one = stage.command("dead-letters", *options, "--reason", "refused", "--reason", "no_value", "--payload").stdout
    assert LONG in one
    assert FRAMES["no_value"].decode() in one
    assert hashlib.sha256(FRAMES["no_value"]).hexdigest() in one
    assert "invalid_json" not in one
    assert len(stage.command("dead-letters", *options, "--limit", "3", "--json").stdout.splitlines()) == 3
    # Whatever was refused, what came before and after it is there.
    values = [one.value["value_raw"] for one in stage.read("metrics")]
    assert values[-3:] == ["1", "2", "3"]
    assert LONG not in values

"""Which promise holds while it runs: what the checks find is told once, and an absent cluster changes nothing."""

from __future__ import annotations

import asyncio

import pytest

from connector.cli.finding import Finding, weakness
from connector.cli.promises import Promises
from connector.config import load

CONFIG = """
account: acme
source: {token_file: token}
subscriptions: [{metrics: [chats.missed_chats], windows: [30]}]
kafka: {bootstrap_servers: "localhost:9092"}
registry: {urls: ["http://localhost:8081"]}
"""
FINE = Finding("pass", "durability", "every topic outlives the loss of a broker")
UNCLEAN = "an unclean leader election may lose acknowledged records: zendesk.chat.metrics"
LOOSE = "topic zendesk.chat.acme.offsets: cleanup.policy is delete, not compact"
AWAY = Finding("fail", "kafka", "no broker answers", exit_code=5)


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "connector.yaml"
    file.write_text(CONFIG)
    found = load(file, {})
    return found.model_copy(update={"kafka": found.kafka.model_copy(update={"check_interval": 0.0})})


def told(config, *rounds):
    """What is told while the checks find these, one after the other."""
    heard, left = [], list(rounds)

    async def play():
        over = asyncio.Event()
        loop = asyncio.get_running_loop()

        def find(_config, metrics):
            assert metrics == ("zendesk.chat.metrics",)
            if not left:
                loop.call_soon_threadsafe(over.set)
                return [AWAY]
            return left.pop(0)

        promises = Promises(config, ("zendesk.chat.metrics",), [lambda *one: heard.append(one)], find)
        promises.tell("strict", [])
        running = asyncio.create_task(promises.run())
        await asyncio.wait_for(over.wait(), 20)
        running.cancel()

    asyncio.run(play())
    return heard


def test_a_topic_altered_while_it_runs_is_told_once_and_so_is_its_mending(config):
    weak = weakness(config, "durability", UNCLEAN, "alter it")
    assert told(config, [FINE], [FINE, weak], [FINE, weak], [FINE]) == [
        ("strict", []),
        ("best-effort", [UNCLEAN]),
        ("strict", []),
    ]


def test_what_would_refuse_a_start_weakens_the_promise_of_what_runs(config):
    assert told(config, [Finding("fail", "topics", LOOSE, exit_code=4)])[-1] == ("best-effort", [LOOSE])


def test_a_cluster_that_cannot_be_asked_changes_nothing(config):
    assert told(config, [AWAY], [AWAY]) == [("strict", [])]

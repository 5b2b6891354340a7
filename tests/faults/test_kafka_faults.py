"""Brokers die, stand still, move their duties or cannot be reached; the owner and the standby are well."""

from __future__ import annotations

import signal
import time

import pytest
from confluent_kafka import ElectionType, Producer
from confluent_kafka.admin import AdminClient
from faults.late import late_end_of_transaction
from faults.proxy import END_TXN
from waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]

OUTAGE = 20.0
"""Seconds."""


def test_the_coordinators_broker_is_killed(run):
    """SIGKILL of the coordinator's broker"""
    broker = run.pair.cluster.coordinator(run.pair.transactional_id)
    run.fault()
    broker.kill()
    time.sleep(12)
    run.recovered()
    broker.start()
    run.pair.cluster.wait_in_sync()
    assert run.judge(known=run.pair.known).faults == []


def test_the_coordinator_moves_and_no_connection_breaks(run):
    """coordinator moved, no connection broken"""
    cluster, topic = run.pair.cluster, "__transaction_state"
    admin = AdminClient({"bootstrap.servers": cluster.direct, "log_level": 0})

    def preferred() -> list[bool]:
        partitions = admin.list_topics(timeout=20).topics[topic].partitions
        return [one.leader == one.replicas[0] for one in partitions.values()]

    coordinator = cluster.coordinator(run.pair.transactional_id)
    if all(preferred()):
        coordinator.stop()
        coordinator.start()
        cluster.wait_in_sync()
        coordinator = cluster.coordinator(run.pair.transactional_id)
    run.fault()
    admin.elect_leaders(ElectionType.PREFERRED).result(30)
    wait_until(lambda: all(preferred()), what="the preferred leaders")
    run.recovered()
    assert cluster.coordinator(run.pair.transactional_id) is not coordinator
    assert run.judge(known=run.pair.known).faults == []


def test_the_coordinators_broker_stands_still(run):
    """SIGSTOP of the coordinator's broker for 5 s"""
    broker = run.pair.cluster.coordinator(run.pair.transactional_id)
    run.fault()
    broker.pause()
    time.sleep(5)
    broker.resume()
    run.recovered()
    assert run.judge(known=run.pair.known).faults == []


def test_brokers_are_restarted_one_after_the_other(run):
    """rolling restart, coordinator moved"""
    cluster = run.pair.cluster
    first = cluster.coordinator(run.pair.transactional_id)
    run.fault()
    for broker in (first, *(one for one in cluster.kafka.brokers if one is not first)):
        broker.stop()
        broker.start()
        cluster.wait_in_sync()
    run.recovered()
    assert run.judge(known=run.pair.known).faults == []


def test_all_brokers_are_down(run):
    """all brokers down for 20 s"""
    run.fault()
    run.pair.cluster.outage(OUTAGE)
    run.recovered()
    run.pair.cluster.wait_in_sync()
    assert run.judge(known=run.pair.known).faults == []


def test_a_lone_owner_keeps_what_it_receives_while_all_brokers_are_down(make_pair, make_run):
    """all brokers down for 20 s, one replica"""
    pair = make_pair()
    pair.start("first")
    pair.wait_for_commits()
    run = make_run(pair, "all brokers down for 20 s, one replica")
    run.fault()
    pair.cluster.outage(OUTAGE)
    run.recovered()
    pair.cluster.wait_in_sync()
    verdict = run.judge()
    assert verdict.faults == []
    assert verdict.gaps == {}, "what was received while the group was lost was given up"


def test_too_few_replicas_are_in_sync(run):
    """min ISR lost for 20 s"""
    brokers = run.pair.cluster.kafka.brokers[:2]
    run.fault()
    for broker in brokers:
        broker.kill()
    time.sleep(OUTAGE)
    for broker in brokers:
        broker.start()
    run.recovered()
    run.pair.cluster.wait_in_sync()
    assert run.judge(known=run.pair.known).faults == []


def test_the_owner_alone_is_cut_off_from_kafka(run):
    """owner cut off from Kafka only"""
    owner, standby = run.pair.owner(), run.pair.standby()
    proxies = run.pair.cluster.proxies(owner)
    run.fault()
    for proxy in proxies:
        proxy.freeze()
    run.recovered(owner=standby)
    for proxy in proxies:
        proxy.thaw()
    run.pair.wait_for_commits(300)
    assert run.pair.audit.owner() == standby
    assert run.judge(known=run.pair.known).faults == []


def test_an_outsider_uses_the_transactional_id(run):
    """foreign fencing"""
    outsider = Producer(
        {"bootstrap.servers": run.pair.cluster.direct, "transactional.id": run.pair.transactional_id, "log_level": 0}
    )
    run.fault()
    outsider.init_transactions(30)
    run.recovered(taken_over=True)
    assert run.judge(known=run.pair.known).faults == []


def test_the_end_of_a_transaction_arrives_late(run):
    """late EndTxn"""
    for _ in range(3):
        run.fault()
        late_end_of_transaction(run.pair, run.pair.owner())
        run.recovered()
    assert run.judge(known=run.pair.known).faults == []


def test_without_the_rebuild_rule_a_late_end_loses_updates(make_pair, make_run):
    """control: late EndTxn without the rebuild rule"""
    pair = make_pair(build="no_rebuild")
    pair.start("first")
    pair.wait_for_commits()
    run = make_run(pair, "control: late EndTxn without the rebuild rule")
    for _ in range(5):
        run.fault()
        late_end_of_transaction(pair, "first")
        run.recovered()
    assert run.judge().lost


def test_a_transaction_times_out_while_its_owner_stands_still(make_pair, make_run):
    """transaction timeout"""
    pair = make_pair(kafka={"transaction_timeout": "3s"})
    process = pair.start("first")
    pair.wait_for_commits()
    run = make_run(pair, "transaction timeout (3 s)")
    stopped = []

    def tap(_link, key):
        if key != END_TXN or stopped:
            return None
        process.send_signal(signal.SIGSTOP)
        stopped.append(time.time())
        return "drop"

    run.fault()
    for proxy in pair.cluster.proxies("first"):
        proxy.tap = tap
    wait_until(lambda: stopped, what="a commit")
    time.sleep(8)
    process.send_signal(signal.SIGCONT)
    run.recovered()
    run.result.aborted = pair.aborted()
    verdict = run.judge()
    assert verdict.faults == []
    assert run.result.aborted > 0

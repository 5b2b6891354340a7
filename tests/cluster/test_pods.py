"""Checks 22 to 25: the real connector in pods, against the emulator, a real broker and a real registry."""

from __future__ import annotations

import base64
import json
import signal
import threading
import time
from pathlib import Path

import pytest
import yaml
from cluster.journal import deliveries
from cluster.plane import ApiError
from cluster.release import HTTP_TOKEN, Release, metric, metrics
from confluent_kafka.admin import AdminClient, NewTopic
from figures import tell
from waiting import wait_until

TAKEOVER = 12.0
"""Seconds: a pod that hands over leaves the group at once; the rest is the next one's fence and session."""


@pytest.fixture(scope="module")
def release(plane, kubelet, kafka_bootstrap, registry_url, tmp_path_factory):
    """The chart's own values and one Secret; the tests of this module use it one after another."""
    found = Release(plane, kubelet, tmp_path_factory.mktemp("pods"), kafka_bootstrap, registry_url)
    try:
        tell(f"two pods installed and ready after {found.install():.1f} s")
        yield found
    finally:
        found.close()


def test_22_one_owner_one_standby_both_ready(release):
    assert len(release.ready()) == 2
    release.wait_for_owner()
    assert len(release.ready()) == 2
    assert release.get()["status"]["readyReplicas"] == 2


def test_22_one_more_standby(release):
    release.change(replicas=3, monitoring={"podMonitor": {"enabled": True}})
    before = {pod.uid for pod in release.pods()}
    release.upgrade()
    assert len(release.ready()) == 3
    assert before < {pod.uid for pod in release.pods()}
    release.wait_for_owner()


def test_22_members_of_the_group_are_dynamic(release):
    admin = AdminClient({"bootstrap.servers": release.stage.kafka})
    (group,) = admin.describe_consumer_groups([f"{release.stage.prefix}.acme"]).values()
    members = group.result(30).members
    assert len(members) == 3
    assert [member.group_instance_id for member in members] == [None] * 3


def test_22_pods_are_confined(release):
    for pod in release.ready():
        folder = Path(f"/proc/{pod.container.pid}")
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
        assert status["Uid"].split() == ["10001"] * 4
        assert status["CapEff"] == status["CapBnd"] == "0" * 16
        assert status["NoNewPrivs"] == "1"
        root = [line.split() for line in (folder / "mounts").read_text().splitlines() if line.startswith("overlay / ")]
        assert root[0][3].startswith("ro,")
        assert not (folder / "root/var/run/secrets/kubernetes.io").exists()


def test_22_metrics_need_the_token_that_the_monitor_sends(release):
    monitor = release.get("podmonitor")["spec"]["podMetricsEndpoints"][0]
    reference = monitor["authorization"]["credentials"]
    secret = release.get("secret", reference["name"])["data"][reference["key"]]
    token = base64.b64decode(secret).decode()
    pod = release.ready()[0]
    assert metrics(pod, token=None) == 401
    assert metrics(pod, token="wrong") == 401
    assert "zendesk_chat_build_info" in metrics(pod, token)
    for path in ("/livez", "/readyz"):
        assert pod.get(path) == (200, "")


def test_22_helm_test_passes(release):
    done = release.helm("test", "--timeout", "90s")
    assert "Succeeded" in done.stdout


def test_22_helm_test_fails_when_the_source_refuses(release):
    release.stage.control("refuse", status=401)
    try:
        done = release.helm("test", "--timeout", "90s", check=False)
    finally:
        release.stage.control("accept")
    # What has failed stays to be looked at.
    release.plane.kubectl("delete", "pod", f"{release.workload}-check", "-n", release.namespace, "--grace-period=0")
    assert done.returncode != 0
    assert "Succeeded" not in done.stdout


def test_22_provisioning_again_changes_nothing(release):
    done = release.stage.command("provision", "--config", str(release.stage.config_file))
    assert "created" not in done.stdout
    assert "unchanged" in done.stdout


def test_22_figures(release):
    release.stage.control("pause")
    idle = figures(release)
    release.stage.control("resume")
    loaded = figures(release)
    for what, found in (("idle", idle), (f"{loaded[3]:.0f} updates/s", loaded)):
        tell(f"{what}: owner {found[0]:.2f} CPU, {found[1]:.0f} MiB; standby {found[2]:.0f} MiB")
    assert loaded[3] > idle[3]
    assert max(*idle[1:3], *loaded[1:3]) < 256, "more MiB than are requested"


def figures(release, seconds=8):
    """CPU and MiB of the owner, most MiB of a standby, updates committed a second."""
    owner = release.wait_for_owner()
    time.sleep(2)
    names = ("process_cpu_seconds_total", "zendesk_chat_updates_committed_total")
    began, at = [sample(owner, name) for name in names], time.monotonic()
    time.sleep(seconds)
    cpu, updates = (
        (sample(owner, name) - before) / (time.monotonic() - at) for name, before in zip(names, began, strict=True)
    )
    memory = {pod: sample(pod, "process_resident_memory_bytes") / 2**20 for pod in release.ready()}
    return cpu, memory.pop(owner), max(memory.values()), updates


def sample(pod, name):
    """A metric of a pod that lives; it may take a moment to answer."""
    return wait_until(lambda: (found := metric(pod, name)) is not None and (found,), 30, name)[0]


def test_23_a_rolling_upgrade_keeps_the_promise(release):
    fewest, watching = [9], threading.Event()

    def watch():
        while not watching.wait(0.2):
            fewest[0] = min(fewest[0], len(release.ready()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = {pod.uid for pod in release.pods()}
    names = {pod.name for pod in release.pods()}
    release.change(config={"log": {"level": "info"}})
    began = time.monotonic()
    release.upgrade()
    release.wait_for_owner()
    tell(f"three pods rolled in {time.monotonic() - began:.1f} s, never fewer than {fewest[0]} ready")
    wait_until(lambda: not before & {pod.uid for pod in release.pods()}, 60, "the old pods to go")
    watching.set()
    watcher.join()
    assert fewest[0] >= 2
    gone = [one for one in release.kubelet.ended if one["namespace"] == release.namespace and one["pod"] in names]
    runs = [one for one in gone if one["container"] == "zendesk-chat-kafka"]
    assert len(runs) == 3
    assert all(one["code"] == 0 and not one["killed"] for one in runs), runs
    wait_until(lambda: len(release.ready()) == 3, 60, "three ready pods")
    release.stage.settle(60)
    code, report = release.verified()
    assert code == 0, report
    wrong, delivered, published = release.compared()
    rest = delivered - published
    tell(f"{delivered} values sent, {published} published, {rest} in gaps or repeated; none lost, twice or invented")
    takeovers = takeover_seconds(release)
    tell(f"taken over in {max(takeovers.values()):.1f} s at most, by the gaps of {len(takeovers)} owner epochs")
    assert takeovers
    assert max(takeovers.values()) < TAKEOVER
    assert wrong == []
    assert delivered > 1000
    assert published > delivered / 2


def takeover_seconds(release):
    """By the owner epoch that ended them: the longest gap that a takeover declared."""
    found = {}
    for one in (message.value for message in release.stage.read("gaps")):
        if one["ended_at"] is not None and one["reason"] in ("takeover", "restart"):
            length = (one["ended_at"] - one["started_at"]).total_seconds()
            found[one["epoch_after"]] = max(length, found.get(one["epoch_after"], 0.0))
    return found


def test_23_the_comparison_notices_what_is_lost(release):
    # All gaps are over then. The last frame may be the snapshot that ended one, so that its own time is no use here.
    release.stage.settle(60)
    last = next(line for line in reversed(release.stage.journal().frames) if line.get("values"))
    never = {**last, "frame": last["frame"] + 10**9, "at": time.time_ns() // 1000}
    wrong, _, _ = release.compared(never)
    release.stage.control("resume")
    assert wrong == [f"lost: {where} {literal}" for where, literal, _ in deliveries([never])]
    assert wrong


def test_24_the_second_of_two_evictions_is_refused(release):
    first, second, _ = wait_until(lambda: len(release.ready()) == 3 and release.ready(), 60, "three ready pods")
    wait_until(lambda: release.get("pdb")["status"]["disruptionsAllowed"] == 1, 30, "the budget to be known")
    evict(release, first)
    with pytest.raises(ApiError) as refused:
        evict(release, second)
    assert refused.value.code == 429
    wait_until(lambda: first not in release.pods() and len(release.ready()) == 3, 90, "three ready pods")


def evict(release, pod):
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod.name}/eviction"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.name}}
    release.plane.request("POST", path, body)


def test_24_a_bad_upgrade_leaves_the_pods_alone(release):
    before = {pod.uid for pod in wait_until(lambda: len(release.ready()) == 3 and release.ready(), 60, "three pods")}
    wrong = ["--rollback-on-failure", "--set", "secrets.source.existingSecret=nope"]
    done = release.upgrade(*wrong, seconds=15, check=False)
    assert done.returncode != 0
    wait_until(lambda: {pod.uid for pod in release.pods()} == before, 60, "the new pod to go")
    history = release.plane.helm("history", release.name, "-n", release.namespace).stdout
    assert "Rollback to" in history


def test_24_a_rotated_token_is_used_without_a_restart(release):
    before = {pod.uid: pod.restarts for pod in release.ready()}
    owner = release.wait_for_owner()
    failed = "zendesk_chat_connects_failed_total"
    refused = metric(owner, failed) or 0
    # A token that the emulator does not know; then the good one again.
    revoked = "revoked-token-0123456789"
    release.secret(token=revoked)
    mounted = owner.volumes.path("secret-source") / "token"
    wait_until(lambda: mounted.read_text() == revoked, 60, "the Secret in the pod")
    release.stage.control("drop")
    wait_until(lambda: (metric(owner, failed) or 0) > refused, 60, "a refused token")
    release.secret(token=release.stage.ready["tokens"]["owner"])
    wait_until(lambda: metric(owner, "zendesk_chat_session_up") == 1, 60, "a session with the new token")
    assert {pod.uid: pod.restarts for pod in release.ready()} == before


def test_24_a_changed_config_map_is_applied_without_a_restart(release):
    before = {pod.uid: pod.restarts for pod in release.ready()}
    owner = release.wait_for_owner()
    expected = sample(owner, "zendesk_chat_series_expected")
    name = f"{release.workload}-config"
    config = yaml.safe_load(release.get("configmap", name)["data"]["config.yaml"])
    config["subscriptions"][0]["windows"] = [30]
    patch = json.dumps({"data": {"config.yaml": yaml.safe_dump(config)}})
    release.plane.kubectl("patch", "configmap", name, "-n", release.namespace, "--patch", patch)

    def fewer():
        return 0 < (metric(owner, "zendesk_chat_series_expected") or 0) < expected

    wait_until(fewer, 60, "fewer series")
    assert {pod.uid: pod.restarts for pod in release.ready()} == before


@pytest.fixture(scope="module")
def with_volumes(plane, kubelet, kafka_bootstrap, registry_url, tmp_path_factory):
    found = Release(plane, kubelet, tmp_path_factory.mktemp("volumes"), kafka_bootstrap, registry_url)
    found.change(persistence={"enabled": True, "size": "1Gi"}, provision={"mode": "hook"})
    try:
        found.install()
        # Once is enough; the upgrades that follow need no Job.
        found.change(provision={"mode": "none"})
        yield found
    finally:
        found.close()


def test_22_a_hook_provisions_before_the_first_pod(with_volumes):
    ran = [one for one in with_volumes.kubelet.ended if one["namespace"] == with_volumes.namespace]
    assert [(one["container"], one["code"]) for one in ran] == [("zendesk-chat-kafka-provision", 0)]
    assert all("initContainers" not in pod.pod["spec"] for pod in with_volumes.pods())


def test_25_a_killed_pod_keeps_its_journal(with_volumes):
    release = with_volumes
    owner = release.wait_for_owner()
    before = owner.volumes.path("buffer")
    assert owner.name in str(before)
    owner.container.signal(signal.SIGKILL)
    wait_until(lambda: owner.restarts == 1 and owner.ready, 60, "the pod to be ready again")
    assert owner.volumes.path("buffer") == before
    release.wait_for_owner()
    kept_the_promise(release)


@pytest.mark.parametrize("kept", [True, False], ids=["the volume is kept", "control: the volume is lost"])
def test_25_what_a_pod_wrote_to_its_journal_while_kafka_was_away_is_published(with_volumes, kept):
    release = with_volumes
    owner = release.wait_for_owner()
    port = int(release.stage.kafka.rpartition(":")[2])
    away = [*release.pods()]
    restarts = owner.restarts
    for pod in away:
        pod.network.cut(port)
    wait_until(lambda: (metric(owner, "zendesk_chat_updates_waiting") or 0) > 800, 60, "updates that wait")
    written = (metric(owner, "zendesk_chat_updates_waiting") or 0) * 20
    wait_until(lambda: (metric(owner, "zendesk_chat_buffer_disk_bytes") or 0) > written, 60, "a journal of them")
    waited = received_lately(release)
    owner.container.signal(signal.SIGKILL)
    wait_until(lambda: owner.restarts > restarts, 60, "the pod to be started again")
    if not kept:
        for file in owner.volumes.path("buffer").iterdir():
            file.unlink()
    # The other replica comes later: an owner that followed would make the journal void.
    owner.network.mend(port)
    wait_until(lambda: metric(owner, "zendesk_chat_shard_owned") == 1, 120, "the same owner again")
    for pod in away:
        pod.network.mend(port)
    release.wait_for_owner()
    kept_the_promise(release)
    published = {(one.value["session_id"], one.value["frame"]) for one in release.stage.read("metrics")}
    found = len(waited & published)
    tell(f"{len(waited)} frames came while Kafka was away; {found} of them were published after the kill")
    assert len(waited) > 200
    assert found == (len(waited) if kept else 0)


def received_lately(release):
    """Frames with values of the last three seconds but the last, by session and number.

    What came later may not have been synced when the pod is killed, what came before may have been committed.
    """
    now = time.time_ns() // 1000
    lines = [one for one in release.stage.journal().frames if one.get("values")]
    return {(one["session"], one["frame"]) for one in lines if now - 3_000_000 < one["at"] < now - 1_000_000}


def kept_the_promise(release):
    """By the product's own audit, and by the emulator's journal. The emulator goes on afterwards."""
    release.stage.settle(60)
    code, report = release.verified()
    assert code == 0, report
    wrong, _, published = release.compared()
    release.stage.control("resume")
    assert wrong == []
    assert published > 100


def test_25_from_stateful_set_to_deployment_and_back_with_the_same_claims(with_volumes):
    release = with_volumes
    claims = release.claims()
    assert len(claims) == 2
    for enabled, owner in ((False, "ReplicaSet"), (True, "StatefulSet")):
        release.change(persistence={"enabled": enabled})
        began = time.monotonic()
        release.upgrade()
        wait_until(lambda owner=owner: made_by(release.pods()) == [owner] * 2, 120, f"two pods of a {owner}")
        wait_until(lambda: len(release.ready()) == 2, 60, "two ready pods")
        release.wait_for_owner()
        tell(f"pods of a {owner} instead of the others after {time.monotonic() - began:.1f} s")
        assert release.claims() == claims
    assert {pod.volumes.path("buffer").name for pod in release.pods()} == {
        f"{release.namespace}-{one}" for one in claims
    }
    kept_the_promise(release)


def made_by(pods):
    return [pod.pod["metadata"]["ownerReferences"][0]["kind"] for pod in pods]


def test_25_uninstall_leaves_the_claims_only(with_volumes):
    release = with_volumes
    release.helm("uninstall", "--wait", "--timeout", "90s")
    wait_until(lambda: not release.pods(), 60, "the pods to go")
    kinds = "deployments,statefulsets,services,configmaps,poddisruptionbudgets,serviceaccounts,jobs"
    left = release.plane.kubectl("get", kinds, "-n", release.namespace, "-o", "name").stdout.split()
    assert set(left) == {"configmap/kube-root-ca.crt", "serviceaccount/default"}
    assert len(release.claims()) == 2


def test_22_the_token_is_nowhere_in_the_logs(release):
    text = release.logs()
    assert HTTP_TOKEN not in text
    assert release.stage.ready["tokens"]["owner"] not in text


@pytest.fixture
def unprovisioned(request, plane, kubelet, kafka_bootstrap, registry_url, tmp_path):
    """Nobody has made the topics yet; the parameter says whose part it is."""
    found = Release(plane, kubelet, tmp_path, kafka_bootstrap, registry_url)
    found.change(provision=request.param)
    try:
        found.helm("install")
        yield found
    finally:
        found.close()


# The topics are objects, which an operator reads.
@pytest.mark.parametrize("unprovisioned", [{"mode": "strimzi", "strimzi": {"cluster": "main"}}], indirect=True)
def test_22_pods_wait_for_the_topics_of_a_late_operator(unprovisioned):
    release = unprovisioned

    def refused():
        return [one for one in release.kubelet.ended if one["namespace"] == release.namespace and one["code"]]

    wait_until(lambda: len(refused()) >= 3, 60, "pods that find no topics")
    assert {one["container"] for one in refused()} == {"zendesk-chat-kafka-provision"}
    assert not release.ready()
    assert release.stage.topics["metrics"] in release.logs()
    # What the operator does.
    listed = release.plane.kubectl("get", "kafkatopics", "-n", release.namespace, "-o", "json").stdout
    specs = [one["spec"] for one in json.loads(listed)["items"]]
    topics = [
        NewTopic(one["topicName"], one["partitions"], one["replicas"], config=dict(texts(one["config"])))
        for one in specs
    ]
    admin = AdminClient({"bootstrap.servers": release.stage.kafka})
    for made in admin.create_topics(topics).values():
        made.result(30)
    wait_until(lambda: len(release.ready()) == 2, 120, "two ready pods")
    release.wait_for_owner()
    kept_the_promise(release)


@pytest.mark.parametrize("unprovisioned", [{"mode": "none"}], indirect=True)
def test_22_run_neither_creates_topics_nor_registers_schemas(unprovisioned):
    release = unprovisioned
    stage = release.stage
    wait_until(lambda: all(pod.restarts >= 2 for pod in release.pods()) and release.pods(), 90, "pods that give up")
    ended = [one for one in release.kubelet.ended if one["namespace"] == release.namespace]
    assert {one["container"] for one in ended} == {"zendesk-chat-kafka"}
    assert {one["code"] for one in ended} <= {4, 5}
    assert "run zendesk-chat-kafka provision" in release.logs()
    assert made_of(stage) == ([], [])
    stage.command("provision", "--config", str(stage.config_file))
    provisioned = made_of(stage)
    assert all(provisioned)
    wait_until(lambda: len(release.ready()) == 2, 120, "two ready pods")
    release.wait_for_owner()
    assert made_of(stage) == provisioned
    kept_the_promise(release)


def made_of(stage):
    """Topics and subjects of the release; of a subject, its versions too."""
    admin = AdminClient({"bootstrap.servers": stage.kafka})
    topics = sorted(name for name in admin.list_topics(timeout=30).topics if name.startswith(stage.prefix))
    subjects = sorted(name for name in stage.client.get_subjects() if name.startswith(stage.prefix))
    return topics, [(name, stage.client.get_versions(name)) for name in subjects]


def texts(config):
    """Kafka's settings as text; numbers and booleans are what YAML makes of them."""
    return ((name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in config.items())

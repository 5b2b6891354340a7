"""Checks 19 to 21: what a real API server says to the chart. No pod runs."""

from __future__ import annotations

import json
import shutil

import pytest
from chart.render import CASES, CHART, MINIMAL, RELEASED


def deployment(plane, namespace, name="rel-zendesk-chat-kafka"):
    return plane.get("deployment", namespace, name)


@pytest.fixture(scope="module")
def neighbours(plane):
    """What the files of helm/ci take for granted."""
    for namespace in ("monitoring", "kafka"):
        plane.kubectl("create", "namespace", namespace)
    plane.kubectl("create", "priorityclass", "123", "--value=1")
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "gvisor"}}
    plane.request("POST", "/apis/node.k8s.io/v1/runtimeclasses", {**runtime, "handler": "runsc"})


@pytest.mark.usefixtures("neighbours")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.removesuffix("-values.yaml"))
def test_19_installs_without_a_warning(plane, case):
    name = case.name.removesuffix("-values.yaml")
    installed, applied = plane.namespace(f"install-{name}"), plane.namespace(f"apply-{name}")
    # Nobody runs the hook's Job here.
    done = plane.helm("install", "rel", CHART, "-n", installed, "-f", case, "--no-hooks")
    assert "warning" not in (done.stdout + done.stderr).lower()
    rendered = plane.helm("template", "rel", CHART, "-n", applied, "-f", case).stdout
    strict = ["apply", "--server-side", "--force-conflicts", "--validate=strict", "-o", "json"]
    done = plane.kubectl(*strict, "-f", "-", text=rendered)
    assert "warning" not in done.stderr.lower()
    same = [one for one in json.loads(done.stdout)["items"] if "helm.sh/hook" not in str(one["metadata"])]
    assert same
    for one in same:
        meta = one["metadata"]
        live = plane.get(one["kind"], meta["namespace"].replace(applied, installed), meta["name"])
        assert content(live) == content(one), meta["name"]
    plane.helm("uninstall", "rel", "-n", installed, "--no-hooks", "--wait=hookOnly")
    plane.kubectl("delete", "namespace", installed, applied, "--wait=false")


CHOSEN = {"deployment.kubernetes.io/revision", "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"}
"""Annotations of the server and of helm itself."""


def content(live):
    """What the object says, without what the server chose for it."""
    spec = {key: value for key, value in live.get("spec", {}).items() if not key.startswith("clusterIP")}
    meta = live["metadata"]
    noted = {key: value for key, value in meta.get("annotations", {}).items() if key not in CHOSEN}
    more = {key: value for key, value in live.items() if key not in ("metadata", "spec", "status")}
    text = json.dumps([meta["name"], meta.get("labels"), noted, spec, more], sort_keys=True)
    return text.replace("install-", "apply-")


def test_19_another_object_is_noticed():
    one = {"kind": "ConfigMap", "metadata": {"name": "a", "labels": {"x": "1"}, "annotations": {}}, "data": {"k": "v"}}
    for place, value in (("labels", {"x": "2"}), ("annotations", {"y": "1"}), ("name", "b")):
        assert content({**one, "metadata": {**one["metadata"], place: value}}) != content(one)
    assert content({**one, "data": {"k": "w"}}) != content(one)
    assert content({**one, "automountServiceAccountToken": False}) != content(one)


def test_19_the_server_says_when_a_pod_is_not_restricted(plane):
    namespace = plane.namespace("refusing")
    loose = ["--set", "securityContext.allowPrivilegeEscalation=true", "--no-hooks"]
    done = plane.helm("install", "rel", CHART, "-n", namespace, "-f", MINIMAL, *loose)
    assert "would violate PodSecurity" in done.stderr


def test_19_the_server_refuses_an_unknown_field(plane):
    namespace = plane.namespace("unknown")
    rendered = plane.helm("template", "rel", CHART, "-n", namespace, "-f", MINIMAL).stdout
    planted = rendered.replace("automountServiceAccountToken", "automountServiceAcountToken")
    strict = ["apply", "--server-side", "--validate=strict", "--dry-run=server"]
    done = plane.kubectl(*strict, "-f", "-", text=planted, check=False)
    assert done.returncode != 0
    assert "automountServiceAcountToken" in done.stderr


@pytest.mark.parametrize("major", [3, 4])
def test_20_upgrade_and_rollback(plane, major):
    namespace = plane.namespace(f"upgrade-{major}")
    release = ["rel", CHART, "-n", namespace, "-f", MINIMAL]
    plane.helm("install", *release, major=major)
    first = deployment(plane, namespace)
    plane.helm("upgrade", *release, major=major)
    assert deployment(plane, namespace)["metadata"]["generation"] == first["metadata"]["generation"]
    plane.helm("upgrade", *release, "--set", "config.log.level=debug", major=major)
    changed = deployment(plane, namespace)
    assert changed["metadata"]["generation"] == first["metadata"]["generation"] + 1
    plane.helm("rollback", "rel", "1", "-n", namespace, major=major)
    assert deployment(plane, namespace)["spec"] == first["spec"]


def test_20_from_helm_3_to_helm_4(plane, tmp_path):
    namespace = plane.namespace("three-to-four")
    newer = tmp_path / "zendesk-chat-kafka"
    shutil.copytree(CHART, newer)
    text = (newer / "Chart.yaml").read_text()
    (newer / "Chart.yaml").write_text(text.replace("version: 0.1.0", "version: 0.1.1"))
    plane.helm("install", "rel", CHART, "-n", namespace, "-f", MINIMAL, major=3)
    before = deployment(plane, namespace)
    plane.helm("upgrade", "rel", newer, "-n", namespace, "-f", MINIMAL)
    assert deployment(plane, namespace)["spec"]["template"] == before["spec"]["template"]
    plane.helm("rollback", "rel", "1", "-n", namespace)
    assert deployment(plane, namespace)["spec"] == before["spec"]


@pytest.mark.parametrize("package", RELEASED, ids=lambda path: path.stem)
def test_20_from_a_released_chart_and_back(plane, package):
    namespace = plane.namespace(f"from-{package.stem.rpartition('-')[2].replace('.', '-')}")
    values = ["-n", namespace, "-f", MINIMAL]
    plane.helm("install", "rel", package, *values)
    before = deployment(plane, namespace)
    plane.helm("upgrade", "rel", CHART, *values)
    assert deployment(plane, namespace)["spec"]["selector"] == before["spec"]["selector"]
    plane.helm("rollback", "rel", "1", "-n", namespace)
    assert deployment(plane, namespace)["spec"] == before["spec"]


def scaled(plane, namespace, release, major=4):
    plane.helm("install", *release, major=major)
    plane.kubectl("scale", "deployment/rel-zendesk-chat-kafka", "--replicas=5", "-n", namespace)


def test_21_a_scaler_keeps_its_count(plane):
    namespace = plane.namespace("scaled")
    release = ["rel", CHART, "-n", namespace, "-f", MINIMAL]
    scaled(plane, namespace, release)
    debug = ["--set", "config.log.level=debug"]
    conflict = plane.helm("upgrade", *release, *debug, check=False)
    page = (CHART / "UPGRADING.md").read_text().partition("## Replicas")[2].partition("\n## ")[0]
    (shown,) = [line.strip() for line in page.splitlines() if line.startswith("    ")]
    assert conflict.returncode != 0
    assert shown in conflict.stderr
    before = deployment(plane, namespace)["spec"]
    # The page's first remedy: the scaler owns the count, and the rest is upgraded.
    assert "`replicas: null`" in page
    plane.helm("upgrade", *release, "--set", "replicas=null", *debug)
    after = deployment(plane, namespace)["spec"]
    assert after["replicas"] == before["replicas"] == 5
    assert after["template"] != before["template"]
    # And its second.
    assert "`helm upgrade --force-conflicts`" in page
    plane.helm("upgrade", *release, *debug, "--force-conflicts")
    assert deployment(plane, namespace)["spec"]["replicas"] == 2


def test_21_helm_3_sets_the_count_back_without_a_word(plane):
    namespace = plane.namespace("scaled-by-3")
    release = ["rel", CHART, "-n", namespace, "-f", MINIMAL]
    scaled(plane, namespace, release, major=3)
    plane.helm("upgrade", *release, "--set", "config.log.level=debug", major=3)
    assert deployment(plane, namespace)["spec"]["replicas"] == 2

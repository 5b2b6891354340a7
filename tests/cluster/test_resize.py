"""Check 25: a volume is made larger as UPGRADING.md says, by its own commands."""

from __future__ import annotations

import json
import shlex

import pytest
from chart.render import CHART
from waiting import wait_until

NAME = "rel-zendesk-chat-kafka"


def storage_class(name, *, grows):
    """No driver makes its volumes or lets them grow; whether a claim may ask for it is the API server's to say."""
    meta = {"kind": "StorageClass", "apiVersion": "storage.k8s.io/v1", "metadata": {"name": name}}
    return {**meta, "provisioner": "kubernetes.io/no-provisioner", "allowVolumeExpansion": grows}


def volume(name, of):
    spec = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": of,
        "hostPath": {"path": "/nowhere"},
    }
    return {"kind": "PersistentVolume", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def release(plane, request):
    """Arguments of Helm for a release whose three claims are bound; nobody runs its pods."""
    of = request.param
    namespace = plane.namespace(of)
    plane.request("POST", "/apis/storage.k8s.io/v1/storageclasses", storage_class(of, grows="fixed" not in of))
    for number in range(3):
        plane.request("POST", "/api/v1/persistentvolumes", volume(f"{of}-{number}", of))
    values = CHART / "ci" / "statefulset-values.yaml"
    found = ["rel", CHART, "-n", namespace, "-f", values, "--set", f"persistence.storageClass={of}"]
    plane.helm("install", *found)
    wait_until(lambda: bound(plane, namespace) == 3, 60, "three claims that are bound")
    return found


def items(plane, namespace, kind):
    return json.loads(plane.kubectl("get", kind, "-n", namespace, "-o", "json").stdout)["items"]


def bound(plane, namespace):
    return sum(one["status"].get("phase") == "Bound" for one in items(plane, namespace, "pvc"))


def uids(plane, namespace, kind):
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in items(plane, namespace, kind)}


def commands():
    """The page's patch, delete and upgrade, as words."""
    page = (CHART / "UPGRADING.md").read_text().partition("## Size of the volumes")[2].partition("\n## ")[0]
    lines = [line.replace("RELEASE", "rel") for line in page.splitlines() if line.startswith("    ")]
    found = [shlex.split(line) for line in lines]
    assert [words[:2] for words in found] == [["kubectl", "patch"], ["kubectl", "delete"], ["helm", "upgrade"]]
    return found


def sizes(plane, namespace):
    """What the claims ask for, and what the StatefulSet asks for those to come."""
    asked = {one["spec"]["resources"]["requests"]["storage"] for one in items(plane, namespace, "pvc")}
    (template,) = items(plane, namespace, "statefulset")[0]["spec"]["volumeClaimTemplates"]
    return asked, template["spec"]["resources"]["requests"]["storage"]


@pytest.mark.parametrize("release", ["resized"], indirect=True)
def test_25_a_volume_is_resized_as_the_page_says(plane, release):
    namespace = release[3]
    larger = [*release, "--set", "persistence.size=20Gi"]
    refused = plane.helm("upgrade", *larger, check=False)
    assert refused.returncode != 0
    assert "updates to statefulset spec" in refused.stderr
    assert sizes(plane, namespace) == ({"10Gi"}, "10Gi")
    kept = {kind: uids(plane, namespace, kind) for kind in ("pods", "pvc", "statefulset")}
    assert len(kept["pods"]) == len(kept["pvc"]) == 3
    patch, delete, upgrade = commands()
    for number in range(3):
        plane.kubectl(*(word.replace(f"{NAME}-0", f"{NAME}-{number}") for word in patch[1:]), "-n", namespace)
    plane.kubectl(*delete[1:], "-n", namespace)
    assert upgrade[:6] == ["helm", "upgrade", "rel", "./helm", "-f", "values.yaml"]
    plane.helm("upgrade", *larger, *upgrade[6:])
    assert sizes(plane, namespace) == ({"20Gi"}, "20Gi")
    assert uids(plane, namespace, "pvc") == kept["pvc"]
    assert uids(plane, namespace, "statefulset") != kept["statefulset"]
    wait_until(lambda: adopted(plane, namespace), 60, "the new StatefulSet to take the pods")
    assert uids(plane, namespace, "pods") == kept["pods"]


def adopted(plane, namespace):
    """True if every pod belongs to the StatefulSet that there is now."""
    owners = [one["metadata"].get("ownerReferences", [{}])[0].get("uid") for one in items(plane, namespace, "pods")]
    return set(owners) == {*uids(plane, namespace, "statefulset").values()}


@pytest.mark.parametrize("release", ["fixed-size"], indirect=True)
def test_25_without_the_pages_words_it_fails(plane, release):
    namespace = release[3]
    before = uids(plane, namespace, "pods")
    patch, delete, _ = commands()
    refused = plane.kubectl(*patch[1:], "-n", namespace, check=False)
    assert refused.returncode != 0
    assert "only dynamically provisioned pvc can be resized" in refused.stderr
    assert sizes(plane, namespace) == ({"10Gi"}, "10Gi")
    # Without --cascade=orphan the pods go too.
    assert delete[-1] == "--cascade=orphan"
    plane.kubectl(*delete[1:-1], "-n", namespace)
    wait_until(lambda: not before.keys() & uids(plane, namespace, "pods").keys(), 60, "the pods to go")

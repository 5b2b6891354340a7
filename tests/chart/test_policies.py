"""Check 7: restricted pods, hooks and tests included."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from chart.render import CASES, CHART, containers, engine, helm_run, pod_specs, values_of
from chart.restricted import violations
from chart.tools import checkov, program

IDS = [case.name.removesuffix("-values.yaml") for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_07_every_pod_is_restricted(case):
    pods = list(pod_specs(engine(values_of(case))))
    assert pods
    for name, spec in pods:
        assert violations(spec) == [], name
        assert spec["automountServiceAccountToken"] is False
        for container in containers(spec):
            if container["name"].startswith("zendesk-chat-kafka"):
                assert container["securityContext"]["readOnlyRootFilesystem"] is True
                assert "memory" in container["resources"]["limits"]


def test_07_the_gate_can_fail():
    _, spec = next(pod_specs(engine(values_of(CASES[0]))))
    spec["hostNetwork"] = True
    spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}})
    spec["securityContext"] = {"runAsUser": 0}
    spec["containers"][0]["securityContext"] = {
        "privileged": True,
        "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
    }
    assert len(violations(spec)) >= 8


def test_07_openshift_chooses_the_ids():
    for _, spec in pod_specs(engine(values_of(CHART / "ci" / "openshift-values.yaml"))):
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(spec["securityContext"])
        assert spec["securityContext"]["runAsNonRoot"] is True


def trivy(folder):
    command = [program("trivy"), "config", "--quiet", "--skip-check-update", "--skip-version-check"]
    limits = ["--disable-telemetry", "--exit-code", "1", "--severity", "HIGH,CRITICAL"]
    places = ["--cache-dir", folder.with_name("cache"), folder]
    return subprocess.run([*command, *limits, *places], capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path):
    """What Helm renders of every case: the scanners' own engines know no schema of draft 7 with references."""
    found = tmp_path / "rendered"
    found.mkdir()
    for case in CASES:
        (found / f"{case.stem}.yaml").write_text(helm_run("template", "rel", CHART, "-n", "ns", "-f", case).output)
    return found


def test_07_trivy_finds_nothing(folder):
    done = trivy(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    # The gate can fail: the same pods, privileged.
    planted = folder / f"{CASES[0].stem}.yaml"
    planted.write_text(planted.read_text().replace("allowPrivilegeEscalation: false", "privileged: true"))
    done = trivy(folder)
    assert done.returncode == 1
    assert planted.name in done.stdout


EXCUSES = {
    "CKV_K8S_11": ("", "a limit of CPU slows the connector down when it has most to do; it has a request"),
    "CKV_K8S_15": ("", "a version's image does not change, so that it need not be pulled again"),
    "CKV_K8S_43": ("", "image.digest: nobody knows the digest before the image is pushed"),
    "CKV2_K8S_6": ("", "networkPolicy is off until somebody says where Kafka is"),
    "CKV_K8S_8": (r"-check$|hostile", "the test of a release ends by itself; the hostile case brings a bare container"),
    "CKV_K8S_9": (r"-check$|hostile", "the same"),
    "CKV_K8S_10": ("hostile", "its bare container"),
    "CKV_K8S_12": ("hostile", "its bare container"),
    "CKV_K8S_13": ("hostile", "its bare container"),
    "CKV_K8S_14": ("hostile", "its bare container"),
    "CKV_K8S_21": ("hostile", "an object of extraObjects is in the namespace that it says"),
    "CKV_K8S_40": ("openshift", "OpenShift chooses the user"),
}
"""Check of Checkov -> (the places where it may fail, why)."""


def failed_checks(folder):
    """(check, file and object) of everything that Checkov has against it; how much it has nothing against."""
    options = ["--framework", "kubernetes", "--skip-download", "--quiet", "--compact", "--output", "json"]
    command = [*checkov(), "--directory", folder, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    failed = [(one["check_id"], f"{one['file_path']} {one['resource']}") for one in report["results"]["failed_checks"]]
    return failed, report["summary"]["passed"]


def test_07_checkov_finds_only_what_is_excused(folder):
    failed, passed = failed_checks(folder)
    assert passed > 1000
    assert [(name, place) for name, place in failed if not re.search(EXCUSES.get(name, ("^$",))[0], place)] == []
    assert set(EXCUSES) == {name for name, _ in failed}, "an excuse that nothing needs"


def test_07_checkov_sees_a_privileged_pod(folder):
    for path in folder.iterdir():
        if path.stem != CASES[0].stem:
            path.unlink()
    (planted,) = folder.iterdir()
    planted.write_text(planted.read_text().replace("allowPrivilegeEscalation: false", "privileged: true"))
    assert {"CKV_K8S_16", "CKV_K8S_20"} <= {name for name, _ in failed_checks(folder)[0]}

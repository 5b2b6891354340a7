"""Check 7: restricted pods, hooks and tests included."""

from __future__ import annotations

import subprocess

import pytest
from chart.render import CASES, CHART, containers, engine, helm_run, pod_specs, values_of
from chart.restricted import violations
from chart.tools import program

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


def test_07_trivy_finds_nothing(tmp_path):
    # Trivy renders with its own engine, which knows no schema of draft 7 with references; Helm's render it is.
    folder = tmp_path / "rendered"
    folder.mkdir()
    for case in CASES:
        (folder / f"{case.stem}.yaml").write_text(helm_run("template", "rel", CHART, "-n", "ns", "-f", case).output)
    done = trivy(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    # The gate can fail: the same pods, privileged.
    planted = folder / f"{CASES[0].stem}.yaml"
    planted.write_text(planted.read_text().replace("allowPrivilegeEscalation: false", "privileged: true"))
    done = trivy(folder)
    assert done.returncode == 1
    assert planted.name in done.stdout

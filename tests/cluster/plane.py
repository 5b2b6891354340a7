"""A real Kubernetes control plane on this machine: etcd, kube-apiserver, kube-controller-manager. Loopback only."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from chart.tools import control_plane, etcd, helm, kubectl, run
from figures import tell

from connector.local.process import HOST, Process, free_port

TOKEN = "control-plane-test"
NOT_HERE = "*,-nodelifecycle,-node-ipam-controller,-node-route-controller,-service-lb-controller"


class ApiError(OSError):
    """The API server refused; ``code`` is its HTTP status."""

    def __init__(self, error: urllib.error.HTTPError) -> None:
        with error:
            super().__init__(f"{error.code}: {error.read().decode(errors='replace')[:500]}")
        self.code = error.code


class ControlPlane:
    """Started with `start`; its state is in a temporary folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="control-plane-"))
        self.port = free_port()
        self.kubeconfig = self.folder / "kubeconfig"
        self.processes: list[Process] = []
        self._context: ssl.SSLContext | None = None

    def start(self) -> ControlPlane:
        began = time.monotonic()
        self._keys()
        store = self._start_etcd()
        self._start_apiserver(store)
        self._start_controllers()
        self.processes[1].wait_until(
            lambda: self._exists("/api/v1/namespaces/default/serviceaccounts/default"), seconds=120
        )
        tell(f"control plane ready after {time.monotonic() - began:.1f} s")
        return self

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop(grace=15)

    # Clients.

    def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """One call of the API; raises ApiError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        request = urllib.request.Request(f"https://{HOST}:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ApiError(error) from None

    def kubectl(
        self, *arguments: object, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self._run([kubectl(), *arguments], check=check, text=text)

    def helm(self, *arguments: object, major: int = 4, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run([helm(major), *arguments], check=check)

    def get(self, kind: str, namespace: str, name: str) -> Any:
        return json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json").stdout)

    def namespace(self, name: str) -> str:
        """A namespace that enforces *restricted*, and warns."""
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        self.request("POST", "/api/v1/namespaces", body)
        return name

    def _run(self, command: list[object], *, check: bool, text: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "HELM_CACHE_HOME": str(self.folder / "helm"),
            "HELM_CONFIG_HOME": str(self.folder / "helm"),
            "HELM_DATA_HOME": str(self.folder / "helm"),
        }
        done = subprocess.run(
            [*map(str, command)], capture_output=True, text=True, check=False, env=environment, input=text or ""
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    # Programs.

    def _start(self, name: str, *command: object) -> Process:
        process = Process(name, [*map(str, command)], log=self.folder / f"{name}.log", folder=self.folder)
        process.start()
        self.processes.append(process)
        return process

    def _keys(self) -> None:
        run("openssl", "genrsa", "-out", self.folder / "accounts.key", "2048")
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')

    def _start_etcd(self) -> str:
        port, peer = free_port(), free_port()
        url = f"http://{HOST}:{port}"
        ours = ["--listen-client-urls", url, "--advertise-client-urls", url]
        peers = [
            "--listen-peer-urls",
            f"http://{HOST}:{peer}",
            "--initial-advertise-peer-urls",
            f"http://{HOST}:{peer}",
        ]
        cluster = ["--initial-cluster", f"default=http://{HOST}:{peer}"]
        self._start("etcd", etcd(), "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", *ours, *peers, *cluster)
        return url

    def _start_apiserver(self, store: str) -> None:
        certificates = self.folder / "certificates"
        key = self.folder / "accounts.key"
        process = self._start(
            "apiserver", control_plane(), "apiserver",
            f"--etcd-servers={store}", f"--bind-address={HOST}", f"--advertise-address={HOST}",
            f"--secure-port={self.port}", f"--cert-dir={certificates}",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.96.0.0/16",
            f"--token-auth-file={self.folder / 'tokens.csv'}", "--authorization-mode=RBAC",
            "--endpoint-reconciler-type=none",
        )  # fmt: skip
        certificate = certificates / "apiserver.crt"
        process.wait_until(lambda: certificate.exists() and "END CERTIFICATE" in certificate.read_text(), seconds=120)
        self._context = ssl.create_default_context(cafile=str(certificate))
        self._write_kubeconfig(certificate)
        process.wait_until(lambda: self._exists("/readyz?verbose="), seconds=120)

    def _start_controllers(self) -> None:
        self._start(
            "controller-manager", control_plane(), "controller-manager",
            f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0",
            f"--service-account-private-key-file={self.folder / 'accounts.key'}", f"--controllers={NOT_HERE}",
            "--use-service-account-credentials=false",
        )  # fmt: skip

    def _write_kubeconfig(self, certificate: Path) -> None:
        cluster = {"server": f"https://{HOST}:{self.port}", "certificate-authority": str(certificate)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        self.kubeconfig.write_text(json.dumps(config))

    def _exists(self, path: str) -> bool:
        try:
            self.request("GET", path)
        except json.JSONDecodeError:
            return True
        except OSError:
            return False
        return True

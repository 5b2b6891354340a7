"""A kubelet that runs pods as processes of this machine: one node, no images, no scheduler."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import itertools
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.container import Container
from cluster.network import Network
from cluster.volumes import MissingError, Volumes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.plane import ControlPlane

NODE = "this-machine"
MERGE = "application/strategic-merge-patch+json"
RESTART_DELAY = 2.0
TICK = 0.1


def now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Kubelet:
    """Runs every pod of the namespaces that it is given. ``ports``: servers of this machine that pods may reach."""

    def __init__(self, plane: ControlPlane, ports: Iterable[int]) -> None:
        self.plane = plane
        self.ports = list(ports)
        self.folder = Path(tempfile.mkdtemp(prefix="kubelet-"))
        self.folder.chmod(0o755)
        self.namespaces: set[str] = set()
        self.pods: dict[str, Pod] = {}
        self.ended: list[dict[str, Any]] = []
        """Every container that has ended: pod, container, code, killed."""
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Kubelet:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        self.plane.request("POST", "/api/v1/nodes", node)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        for pod in list(self.pods.values()):
            pod.kill()

    def of(self, namespace: str) -> list[Pod]:
        """Pods that run in the namespace."""
        # Copied at once: the kubelet adds to it meanwhile.
        return [pod for pod in list(self.pods.values()) if pod.namespace == namespace and not pod.finished]

    def address(self) -> str:
        return f"10.244.0.{next(self._numbers)}"

    def _run(self) -> None:
        while not self._stop.is_set():
            for namespace in sorted(self.namespaces):
                # Whatever the API server does not answer now is asked for again.
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self._look(namespace)
            self._stop.wait(TICK * 2)

    def _look(self, namespace: str) -> None:
        items = self.plane.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        present = {pod["metadata"]["uid"] for pod in items}
        for pod in self.of(namespace):
            if pod.uid not in present:
                # Deleted without a grace period, as what has ended is.
                pod.leave(0)
        for pod in items:
            uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
            if "nodeName" not in pod["spec"]:
                binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"name": NODE}}
                with contextlib.suppress(OSError):
                    self.plane.request("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", binding)
            elif uid not in self.pods and "deletionTimestamp" not in pod["metadata"]:
                self.pods[uid] = Pod(self, pod)
            elif uid not in self.pods:
                self.plane.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", {"gracePeriodSeconds": 0})
            elif "deletionTimestamp" in pod["metadata"]:
                self.pods[uid].leave(pod["metadata"].get("deletionGracePeriodSeconds", 30))


class Pod:
    """One pod, on a thread of its own."""

    def __init__(self, kubelet: Kubelet, pod: dict[str, Any]) -> None:
        self.kubelet = kubelet
        self.plane = kubelet.plane
        self.pod = pod
        self.name = pod["metadata"]["name"]
        self.namespace = pod["metadata"]["namespace"]
        self.uid = pod["metadata"]["uid"]
        self.folder = kubelet.folder / self.uid
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.volumes = Volumes(self.plane, pod, self.folder / "volumes", kubelet.folder / "claims")
        self.network = Network(f"zck-{self.uid[:8]}", kubelet.address(), kubelet.ports)
        self.container: Container | None = None
        self.finished = False
        self.ready = False
        self.restarts = 0
        self._grace: float | None = None
        self._leaving = threading.Event()
        self._status: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def leave(self, grace: float) -> None:
        """Begin to end: the API server has marked it."""
        self._grace = grace
        self._leaving.set()

    def kill(self) -> None:
        """End at once, without a word to the API server."""
        self._grace = 0
        self._leaving.set()
        if self.container is not None:
            self.container.signal(signal.SIGKILL)
        self._thread.join(20)

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def get(self, path: str, headers: dict[str, str] | None = None, seconds: float = 3) -> tuple[int, str]:
        """Status and body of one request to the pod's address, made in the pod's network."""
        port = self._spec(0)["ports"][0]["containerPort"]
        connection = http.client.HTTPConnection(self.network.address, port, timeout=seconds)
        connection.sock = self.network.connect(port, seconds)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    # The life of a pod.

    def _run(self) -> None:
        try:
            self._report("Pending")
            if self._mounted() and self._initialised():
                self._main()
        finally:
            self.finished = True
            self.ready = False
            self.network.close()
            if self._leaving.is_set():
                path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
                body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
                with contextlib.suppress(OSError):
                    self.plane.request("DELETE", path, body)

    def _mounted(self) -> bool:
        while not self._leaving.is_set():
            try:
                self.volumes.make()
            except MissingError:
                self._leaving.wait(0.5)
            else:
                return True
        return False

    def _initialised(self) -> bool:
        for spec in self.pod["spec"].get("initContainers", []):
            while (code := self._once(spec)) != 0:
                if code is None or self._leaving.wait(RESTART_DELAY):
                    return False
        return True

    def _once(self, spec: dict[str, Any]) -> int | None:
        """Run one container to its end; None if the pod had to leave."""
        self.container = Container(self.pod, spec, self.folder)
        self.container.start(self.network, self.volumes)
        while self.container.code() is None:
            if self._leaving.wait(TICK):
                self._end()
                return None
        self._note(self.container.code(), killed=False)
        return self.container.code()

    def _main(self) -> None:
        spec = self._spec(0)
        while True:
            code = self._serve(spec)
            if self._leaving.is_set():
                return
            if self.pod["spec"].get("restartPolicy", "Always") != "Always":
                self._report("Failed" if code else "Succeeded", code=code)
                self._leaving.wait()
                return
            self.restarts += 1
            self._report("Running", waiting=True)
            if self._leaving.wait(RESTART_DELAY):
                return

    def _serve(self, spec: dict[str, Any]) -> int | None:
        self.container = Container(self.pod, spec, self.folder)
        self.container.start(self.network, self.volumes)
        self._report("Running")
        probes = Probes(self, spec)
        refreshed = time.monotonic()
        while self.container.code() is None:
            if self._leaving.wait(TICK):
                self._end()
                return None
            probes.run()
            if time.monotonic() - refreshed > 1:
                refreshed = time.monotonic()
                with contextlib.suppress(MissingError, OSError):
                    self.volumes.refresh()
        self.ready = False
        self._note(self.container.code(), killed=False)
        return self.container.code()

    def _end(self) -> None:
        assert self.container is not None
        in_time = self.container.end(30 if self._grace is None else self._grace)
        self._note(self.container.code(), killed=not in_time)

    def _note(self, code: int | None, *, killed: bool) -> None:
        assert self.container is not None
        name = self.container.spec["name"]
        self.kubelet.ended.append(
            {"namespace": self.namespace, "pod": self.name, "container": name, "code": code, "killed": killed}
        )

    # What the API server hears.

    def changed(self, *, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            self._report("Running")

    def _report(self, phase: str, *, code: int | None = None, waiting: bool = False) -> None:
        done = phase in ("Succeeded", "Failed")
        state: dict[str, Any] = {"running": {"startedAt": now()}}
        if done:
            state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        elif waiting or phase == "Pending":
            state = {"waiting": {"reason": "CrashLoopBackOff" if waiting else "ContainerCreating"}}
        container = {
            "name": self._spec(0)["name"],
            "image": self._spec(0)["image"],
            "imageID": "",
            "ready": self.ready,
            "started": phase == "Running",
            "restartCount": self.restarts,
            "state": state,
        }
        yes = {
            "Initialized": phase != "Pending",
            "Ready": self.ready,
            "ContainersReady": self.ready,
            "PodScheduled": True,
        }
        conditions = [{"type": kind, "status": str(met), "lastTransitionTime": now()} for kind, met in yes.items()]
        status = {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": [container],
            "podIP": self.network.address,
            "hostIP": "127.0.0.1",
            "startTime": now(),
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}/status"
        with contextlib.suppress(OSError):
            self.plane.request("PATCH", path, {"status": status}, MERGE)

    def _spec(self, number: int) -> dict[str, Any]:
        return self.pod["spec"]["containers"][number]


class Probes:
    """Startup, liveness and readiness of one container."""

    def __init__(self, pod: Pod, spec: dict[str, Any]) -> None:
        self._pod = pod
        self._startup = Probe(pod, spec.get("startupProbe"))
        self._liveness = Probe(pod, spec.get("livenessProbe"))
        self._readiness = Probe(pod, spec.get("readinessProbe"))

    def run(self) -> None:
        """Whatever is due."""
        container = self._pod.container
        assert container is not None
        if not self._startup.passed:
            if self._startup.failed():
                container.signal(signal.SIGKILL)
            return
        if self._liveness.failed():
            container.signal(signal.SIGKILL)
        self._readiness.look()
        self._pod.changed(ready=self._readiness.passed)


class Probe:
    """One HTTP probe."""

    def __init__(self, pod: Pod, spec: dict[str, Any] | None) -> None:
        self._pod = pod
        self._spec = spec
        self._due = 0.0
        self._failures = 0
        self.passed = spec is None

    def failed(self) -> bool:
        """True if it has failed as often as it may."""
        self.look()
        return self._spec is not None and self._failures >= self._spec["failureThreshold"]

    def look(self) -> None:
        if self._spec is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._spec["periodSeconds"]
        good = self._ask()
        self._failures = 0 if good else self._failures + 1
        if good or self._failures >= self._spec["failureThreshold"]:
            self.passed = good

    def _ask(self) -> bool:
        assert self._spec is not None
        try:
            status, body = self._pod.get(self._spec["httpGet"]["path"], seconds=self._spec["timeoutSeconds"])
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and not body

"""One release of the chart in a namespace of its own, with an emulator to follow."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml
from chart.tools import CHART
from cluster.journal import deliveries, faults
from faults.audit import Audit

if TYPE_CHECKING:
    from pathlib import Path
from stage import Stage, merge
from waiting import wait_until

RATE = 200.0
"""Frames a second, of one update each."""

HTTP_TOKEN = "0123456789abcdef-http"


class Release:
    """Installed with `install`; its pods are processes of the kubelet."""

    def __init__(self, plane, kubelet, folder: Path, kafka: str, registry: str, name: str = "chat") -> None:
        self.plane = plane
        self.kubelet = kubelet
        self.name = name
        self.stage = Stage(folder, kafka, registry, departments=2, rate=RATE)
        self.stage.start_emulator()
        self.namespace = plane.namespace(f"ns-{self.stage.prefix}")
        kubelet.ports.append(urlsplit(self.stage.ready["url"]).port)
        kubelet.namespaces.add(self.namespace)
        self.values_file = folder / "values.yaml"
        self.secret(token=self.stage.ready["tokens"]["owner"])
        self._values()
        self.stage.write_config()

    @property
    def workload(self) -> str:
        return f"{self.name}-zendesk-chat-kafka"

    def secret(self, token: str) -> None:
        data = {"token": token, "http-token": HTTP_TOKEN}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "zendesk-chat"}, "stringData": data}
        self.plane.kubectl("apply", "--server-side", "-n", self.namespace, "-f", "-", text=json.dumps(body))

    def _values(self) -> None:
        self.stage.write_config()
        config = yaml.safe_load(self.stage.config_file.read_text())
        # The chart says where these are.
        config["source"].pop("token_file")
        config.pop("http")
        secrets = {part: {"existingSecret": "zendesk-chat"} for part in ("source", "http")}
        values = {"config": config, "secrets": secrets}
        self.values_file.write_text(yaml.safe_dump(values))

    def change(self, **changes) -> None:
        values = yaml.safe_load(self.values_file.read_text())
        merge(values, changes)
        self.values_file.write_text(yaml.safe_dump(values))

    def helm(self, command, *arguments, check=True, major=4):
        chart = [CHART, "-f", self.values_file] if command in ("install", "upgrade") else []
        return self.plane.helm(command, self.name, *chart, "-n", self.namespace, *arguments, check=check, major=major)

    def install(self, *arguments, seconds=120):
        """Install and wait; the seconds it took."""
        began = time.monotonic()
        done = self.helm("install", "--wait", "--timeout", f"{seconds}s", *arguments, check=False)
        assert done.returncode == 0, done.stderr + self.logs()
        assert "warning:" not in done.stderr.lower(), done.stderr
        return time.monotonic() - began

    def upgrade(self, *arguments, seconds=180, **options):
        return self.helm("upgrade", "--wait", "--timeout", f"{seconds}s", *arguments, **options)

    def get(self, kind="deployment", name=None):
        return self.plane.get(kind, self.namespace, name or self.workload)

    def pods(self):
        """Running pods of the workload."""
        return [pod for pod in self.kubelet.of(self.namespace) if pod.name.startswith(self.workload + "-")]

    def ready(self):
        return [pod for pod in self.pods() if pod.ready]

    def owners(self):
        return [pod for pod in self.ready() if metric(pod, "zendesk_chat_shard_owned")]

    def wait_for_owner(self, seconds=60):
        """The only one. Pods are asked one after another, and a shard that moves meanwhile may show twice."""
        owners = wait_until(lambda: len(found := self.owners()) == 1 and found, seconds, "one owner")
        return owners[0]

    def claims(self):
        """Name -> uid of each volume claim."""
        done = self.plane.kubectl("get", "pvc", "-n", self.namespace, "-o", "json")
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in json.loads(done.stdout)["items"]}

    def logs(self):
        return "\n".join(f"--- {pod.name}\n{pod.log()[-3000:]}" for pod in self.kubelet.of(self.namespace))

    def verified(self):
        """The audit's summary."""
        done = self.stage.command("verify", "--json", "--config", str(self.stage.config_file), check=False, timeout=120)
        return done.returncode, done.stdout

    def compared(self, *more):
        """What is wrong between the emulator's journal, with `more` lines, and the topics; values sent, published."""
        self.stage.sent()
        lines = [json.loads(line) for line in self.stage.journal_file.read_text().splitlines()]
        lines += more
        schema = self.stage.client.get_schema
        with Audit(self.stage.kafka, self.stage.topics, lambda number: schema(number).schema_str) as audit:
            audit.catch_up()
            return faults(lines, audit.messages), len(deliveries(lines)), len(audit.messages["metrics"])

    def close(self):
        self.kubelet.namespaces.discard(self.namespace)
        for pod in self.kubelet.of(self.namespace):
            pod.kill()
        self.stage.close()


def metrics(pod, token=HTTP_TOKEN):
    """/metrics of a pod; the text, or the status if it is refused."""
    status, body = pod.get("/metrics", {"Authorization": f"Bearer {token}"} if token else {})
    return body if status == 200 else status


def metric(pod, name):
    """Sum of a metric's samples; None if there is none."""
    try:
        text = metrics(pod)
    except OSError:
        return None
    lines = [line for line in str(text).splitlines() if line.startswith((name + " ", name + "{"))]
    return sum(float(line.rpartition(" ")[2]) for line in lines) if lines else None

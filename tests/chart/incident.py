"""A pair of replicas that a real Prometheus scrapes while things go wrong, one after another, from a script."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import yaml
from chart.render import CHART, MINIMAL, engine, one, values_of
from confluent_kafka import Producer
from stage import COMMAND
from waiting import wait_until

from connector.config import load
from connector.local.process import HOST, Process, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from connector.local.kafka import Kafka

TOKEN = "0123456789-incident"
SHORTER = {
    # A minute and a half without heartbeats would be a third of the whole tier's time.
    "ZendeskChatNoHeartbeat": {"> 30": "> 3", "for": "1s"},
    "ZendeskChatSourceDisconnected": {"for": "5s"},
    "ZendeskChatDeadLetters": {"15m": "15s"},
    "ZendeskChatReloadRefused": {"10m": "15s"},
}
"""Alerts that the script makes fire: what of each is replaced, so that it fires and goes away while one waits.

All else of an expression is the chart's own. The tests of promtool hold the limits and times that are replaced here.
"""


def alerts() -> dict[str, dict[str, str]]:
    """The values `monitoring.prometheusRule.overrides`."""
    found = {}
    for name, changes in SHORTER.items():
        (group,) = yaml.safe_load((CHART / "files" / "alerts" / f"{name}.yaml").read_text())["groups"]
        expr = group["rules"][0]["expr"]
        for old, new in changes.items():
            if old != "for":
                assert old in expr, (name, old)
                expr = expr.replace(old, new)
        found[name] = {"expr": expr, **{key: text for key, text in changes.items() if key == "for"}}
    return found


class Prometheus:
    """Debian's, on a loopback port, scraping every second with the token."""

    def __init__(self, folder: Path, replicas: dict[str, int], audit: int, rules: dict[str, Any]) -> None:
        self.folder = folder
        self.port = free_port()
        self.began = time.time()
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        # The labels that a PodMonitor gives.
        targets = [
            {
                "targets": [f"{HOST}:{port}"],
                "labels": {"namespace": "ns", "pod": pod, "container": "zendesk-chat-kafka"},
            }
            for pod, port in replicas.items()
        ]
        jobs = [
            {
                "job_name": "ns/rel",
                "authorization": {"type": "Bearer", "credentials": TOKEN},
                "static_configs": targets,
            },
            {"job_name": "audit", "static_configs": [{"targets": [f"{HOST}:{audit}"], "labels": {"namespace": "ns"}}]},
        ]
        settings = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = {"global": settings, "rule_files": ["rules.yaml"], "scrape_configs": jobs}
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        command = [
            "/usr/bin/prometheus", f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={HOST}:{self.port}",
        ]  # fmt: skip
        self.process = Process("prometheus", command, log=folder / "prometheus.log", folder=folder)
        self.process.start()
        self.process.wait_until(self._ready, seconds=60)

    def ask(self, path: str, **parameters: Any) -> Any:
        """`data` of an answer of the API."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def series(self, expression: str) -> list[Any]:
        """What a panel would show of the whole incident."""
        return self.ask("query_range", query=expression, start=self.began, end=time.time(), step="1s")["result"]

    def now(self, expression: str) -> list[Any]:
        return self.ask("query", query=expression)["result"]

    def alert(self, name: str) -> str:
        """Its state: inactive, pending or firing."""
        states = {one["labels"]["alertname"]: one["state"] for one in self.ask("alerts")["alerts"]}
        return states.get(name, "inactive")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/-/ready", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False


class Incident:
    """Started with `play`; what happened stays in Prometheus until `close`. ``kafka``: its own, since it is killed."""

    def __init__(self, stage, kafka: Kafka) -> None:
        self.stage = stage
        self.kafka = kafka
        self.folder = stage.folder
        self.ports = {"rel-0": free_port(), "rel-1": free_port()}
        self.audit = free_port()
        token = self.folder / "http-token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        stage.write_config(http={"token_file": str(token), "series_metrics": 5})
        stage.provision()
        self.seen: dict[str, list[str]] = {name: [] for name in SHORTER}
        self.prometheus: Prometheus | None = None

    def play(self) -> None:
        """The whole script. Alerts are watched while it goes on."""
        for pod, port in self.ports.items():
            journal = self.folder / f"journal-{pod}"
            journal.mkdir()
            own = {"ZCK_HTTP__PORT": str(port), "ZCK_INSTANCE": pod, "ZCK_BUFFER__DISK__PATH": str(journal)}
            process = self.stage.start_connector(name=pod, **own)
            if pod == "rel-0":
                self.owner = process
                wait_until(self._owned, 60, "an owner")
        self._start_audit()
        monitoring = {"prometheusRule": {"enabled": True, "overrides": alerts()}}
        rules = one(engine(values_of(MINIMAL) | {"monitoring": monitoring}), "PrometheusRule")
        self.prometheus = Prometheus(self.folder, self.ports, self.audit, rules["spec"])
        self.until("min(zendesk_chat_group_members) == 2", "two members")
        self.until("max(zendesk_chat_session_up) == 1", "a session")
        self._dead_letters()
        for _ in range(2):
            self._lose_session()
        self._reload()
        self._disconnect()
        self._fence()
        self._lose_kafka()
        self._hand_over()
        for name in SHORTER:
            self.until_alert(name, "inactive")

    def metrics(self, pod: str) -> str:
        """/metrics of a replica."""
        request = urllib.request.Request(f"http://{HOST}:{self.ports[pod]}/metrics")
        request.add_header("Authorization", f"Bearer {TOKEN}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def _owned(self) -> bool:
        try:
            return self.stage.alive() and "zendesk_chat_shard_owned{" in self.metrics("rel-0")
        except OSError:
            return False

    def until(self, expression: str, what: str, seconds: float = 60) -> None:
        """Wait until Prometheus gives something for the expression; note the alerts meanwhile."""

        def given() -> Any:
            found = self.prometheus.now(expression)
            for name, states in self.seen.items():
                state = self.prometheus.alert(name)
                if not states or states[-1] != state:
                    states.append(state)
            return found

        wait_until(given, seconds, what)

    def until_alert(self, name: str, state: str, seconds: float = 60) -> None:
        any_ = f'ALERTS{{alertname="{name}"'
        firing = f'{any_}, alertstate="firing"}}'
        self.until(firing if state == "firing" else f"absent({any_}}})", f"{name} to be {state}", seconds)

    def close(self) -> None:
        if self.prometheus is not None:
            self.prometheus.process.stop()

    # What goes wrong.

    def _dead_letters(self) -> None:
        for number in (1, 2):
            self.stage.control("raw", text='{"content":{"topic":"chats.incoming_chats","data":"no number"}}')
            self.until(f"sum(zendesk_chat_dead_letters_total) >= {number}", "a dead letter")
        self.until_alert("ZendeskChatDeadLetters", "firing")

    def _lose_session(self) -> None:
        opened = self.prometheus.now("sum(zendesk_chat_sessions_opened_total)")[0]["value"][1]
        self.stage.control("drop", mode="reset")
        self.until(f"sum(zendesk_chat_sessions_opened_total) > {opened}", "another session")
        self.until("sum(zendesk_chat_gaps_open) == 0 or absent(zendesk_chat_gaps_open)", "no open gap")

    def _reload(self) -> None:
        good = self.stage.config_file.read_text()
        for text, result in (
            (good.replace("chats.*", "chats.nonsense"), "refused"),
            (f"{good}\ncollapse_repeats: true\n", "applied"),
        ):
            count = f'sum(zendesk_chat_config_reloads_total{{result="{result}"}})'
            before = (self.prometheus.now(count) or [{"value": [0, "0"]}])[0]["value"][1]
            self.stage.config_file.write_text(text)
            self.owner.send_signal(signal.SIGHUP)
            self.until(f"{count} > {before}", f"a reload {result}")
            if result == "refused":
                self.until_alert("ZendeskChatReloadRefused", "firing")

    def _disconnect(self) -> None:
        self.stage.control("refuse", status=500)
        self.stage.control("drop", mode="reset")
        self.until_alert("ZendeskChatSourceDisconnected", "firing")
        self.stage.control("accept")
        self.until_alert("ZendeskChatSourceDisconnected", "inactive")

    def _fence(self) -> None:
        """Somebody else takes the transactional id: the owner's next transaction fails, and it takes it back."""
        id_ = load(self.stage.config_file, {}).names.transactional_id(0)
        outsider = Producer({"bootstrap.servers": self.kafka.bootstrap, "transactional.id": id_, "log_level": 0})
        outsider.init_transactions(60)
        self.until("sum(zendesk_chat_kafka_errors_total) > 0", "a transaction given up")
        self._commits_again()

    def _lose_kafka(self) -> None:
        self.kafka.broker(1).kill()
        self.until_alert("ZendeskChatNoHeartbeat", "firing")
        self.until("sum(zendesk_chat_buffer_disk_bytes) > 0", "a journal on disk")
        self.kafka.broker(1).start()
        self.until_alert("ZendeskChatNoHeartbeat", "inactive", seconds=180)
        self.until("min(zendesk_chat_group_members) == 2", "two members again", seconds=180)
        self._commits_again()

    def _commits_again(self) -> None:
        self.until("time() - max(zendesk_chat_complete_through_timestamp_seconds) < 3", "commits", seconds=180)

    def _hand_over(self) -> None:
        self.stage.stop(self.owner)
        self.until('sum(zendesk_chat_shard_owned{pod="rel-1"}) > 0', "the other to own")
        self.until('sum(rate(zendesk_chat_updates_committed_total{pod="rel-1"}[10s])) > 0', "updates from the other")
        # Between the two there was no session for a moment.
        self.until('absent(ALERTS{alertname="ZendeskChatSourceDisconnected"})', "the other's session")

    def _start_audit(self) -> None:
        command = ["verify", "--watch", "--interval", "1", "--port", str(self.audit)]
        # Its findings go to the terminal, which nobody reads here.
        self.stage.processes.append(
            subprocess.Popen(
                [*COMMAND, *command, "--config", str(self.stage.config_file)],
                stdout=subprocess.DEVNULL,
                stderr=self.stage._log("audit"),
            )
        )

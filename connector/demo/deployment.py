"""Emulator and connector as processes of their own, as in production, with a registry beside them."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from connector.demo.brokers import PARTITIONS, Broker
from connector.errors import LocalError
from connector.local.process import Process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack
    from pathlib import Path

ACCOUNT: Final = "demo"
_START: Final = 30.0
"""Seconds that a process may take to start."""


class Deployment:
    """Starts the processes at once, so that they load while the broker starts; the stack ends them.

    Args:
        folder: of this demo alone, deleted by its owner.
        prefix: of the topics.
        options: of the emulator.
        topics_exist: the broker has the topics already and creates none.
    """

    def __init__(
        self, folder: Path, stack: ExitStack, *, prefix: str, options: Sequence[str], topics_exist: bool
    ) -> None:
        self.journal = folder / "journal.jsonl"
        self.config_file = folder / "connector.yaml"
        self._folder = folder
        self._prefix = prefix
        self._token = ""
        self._ready: dict[str, Any] = {}
        waiting = [str(self.config_file), *(["--topics-exist"] if topics_exist else [])]
        self._emulator = self._process(
            "emulator", "connector", "emulate", "--port=0", "--json", f"--journal={self.journal}", *options
        )
        self._connector = self._process("connector", "connector.cli.demo_connector", *waiting)
        for process in (self._emulator, self._connector):
            stack.callback(process.kill)
            process.start()

    def _process(self, name: str, module: str, *arguments: str) -> Process:
        command = [sys.executable, "-m", module, *arguments]
        return Process(name, command, log=self._folder / f"{name}.log", folder=self._folder)

    def configure(self, broker: Broker, registry: str) -> None:
        """Let the connector begin: it provisions and runs as soon as it has its configuration."""
        self._await_emulator()
        token_file = self._folder / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(self._token)
        config = self._config(broker, registry, str(token_file))
        written = self.config_file.with_suffix(".new")
        # JSON is YAML; the connector sees the file when it is complete.
        written.write_text(json.dumps(config, indent=2))
        written.rename(self.config_file)

    def _config(self, broker: Broker, registry: str, token_file: str) -> dict[str, Any]:
        departments = ["all", *self._ready["departments"]]
        return {
            "account": ACCOUNT,
            "source": {
                "url": self._ready["url"],
                "departments_url": f"{self._ready['http']}/api/v2/departments",
                "token_file": token_file,
                "allow_plain_loopback": True,
                "subscribe_rate": 2000,
                "probe_interval": "250ms",
            },
            "subscriptions": [
                {"metrics": ["chats.*", "agents.*"], "windows": [30, 60], "departments": departments},
            ],
            "kafka": {
                "bootstrap_servers": broker.bootstrap,
                "partitions": PARTITIONS,
                "replication_factor": 1,
                "min_insync_replicas": 1,
            },
            "topics": {"prefix": self._prefix},
            "registry": {"urls": [registry]},
            "heartbeat": {"interval": "500ms"},
            "ownership": "fixed" if broker.embedded else "group",
            "guarantee": "demo" if broker.embedded else "best-effort",
            "log": {"format": "json"},
        }

    def require_alive(self) -> None:
        """LocalError with the reason if a process has ended."""
        for process in (self._emulator, self._connector):
            if not process.alive:
                raise LocalError(f"the demo's {process.name} has ended: {self._last_words(process)}")

    def pause(self) -> float:
        """Let the emulator send nothing more; the moment, in seconds since 1970."""
        self._control("pause", {})
        while any(one["unsent"] for one in self._control("stats", None)["sessions"]):
            time.sleep(0.02)
        return time.time()

    def drain(self) -> None:
        """End the connector in order: it publishes what it has."""
        self._connector.stop(grace=15)

    def stop_emulator(self) -> None:
        """End the emulator in order: its journal is complete afterwards."""
        self._emulator.stop(grace=10)

    def _await_emulator(self) -> None:
        deadline = time.monotonic() + _START
        while not self._ready:
            self.require_alive()
            if time.monotonic() > deadline:
                raise LocalError(f"the demo's emulator was not ready after {_START:.0f} s; try again")
            time.sleep(0.01)
            first, complete, _ = self._emulator.log.read_text().partition("\n")
            if complete:
                self._ready = json.loads(first)
        self._token = self._ready["tokens"]["owner"]

    def _control(self, command: str, arguments: dict[str, Any] | None) -> Any:
        data = None if arguments is None else json.dumps(arguments).encode()
        request = urllib.request.Request(f"{self._ready['control']}/{command}", data=data)  # noqa: S310 - http, loopback
        # Loopback needs no proxy, whatever the environment names.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=10) as answer:
                return json.load(answer)
        except OSError as error:
            raise LocalError(f"the demo's emulator does not answer: {error}; start the demo again") from error

    def last_words(self) -> str:
        """The last thing the connector said."""
        return self._last_words(self._connector)

    def _last_words(self, process: Process) -> str:
        lines = [line for line in process.log.read_text(errors="replace").splitlines() if line.strip()]
        said = [line for line in lines if "tokens" not in line]
        text = said[-1].removeprefix("error: ") if said else "it said nothing"
        return text.replace(self._token, "***") if self._token else text

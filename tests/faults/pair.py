"""Two replicas of one account, a source that never falls silent, and an auditor that reads along."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import leaks
import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from faults.audit import Audit, uncommitted
from faults.cluster import REPLICAS
from waiting import HANG, wait_until

if TYPE_CHECKING:
    from faults.cluster import Cluster

COMMAND = [sys.executable, "-m", "connector"]
BUILDS = Path(__file__).parent / "builds"
COUNTERS = ("chats.incoming_chats||", "chats.missed_chats|30|", "agents.agents_online||")
NEWEST = 2000
"""Messages of each topic that are searched for credentials."""
QUIET = ("chats.assigned_chats||",)
TOGGLES = ("chats.active_chats||", "chats.satisfaction_good|60|", "agents.agents_away||")


class Source:
    """The emulator as a process; its world stands still, and a thread pushes values in every series in turn.

    Half of the series count up from 1, so that a value tells what it is; half toggle between 0 and 1, so that a
    lost pair of values looks like no loss.
    """

    def __init__(self, folder: Path, rate: float) -> None:
        self._folder = folder
        self.journals: list[Path] = []
        self.log = (folder / "emulator.log").open("ab")
        self._token = ""
        self._launch(0)
        self.series = self._of(*COUNTERS, *TOGGLES)
        self._pause = 1 / rate
        self._numbers = itertools.count(1)
        self._going = threading.Event()
        self._idle = threading.Event()
        self._stop = False
        self.failure: Exception | None = None
        self._pushing = self._connection()
        self._thread = threading.Thread(target=self._push, name="source", daemon=True)
        self._thread.start()

    def _launch(self, port: int) -> None:
        self.journals.append(self._folder / f"journal-{len(self.journals)}.jsonl")
        command = [
            *COMMAND, "emulate", f"--port={port}", "--json", "--journal-all", f"--journal={self.journals[-1]}",
            "--departments=2",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.ready = json.loads(self.process.stdout.readline())
        self.control("pause")

    def admit(self, token: str) -> None:
        """The token of an owner of the account."""
        self._token = token
        self.control("token", token=token, role="owner")

    def restart(self, seconds: float) -> None:
        """Kill it, and start it again so much later on its port; it has forgotten its sessions and every value.

        Call it at rest and with nobody connected: each series gets a value before somebody asks.
        """
        self.lines()  # which are then on disk
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self._pushing.close()
        time.sleep(seconds)
        self._launch(self.port)
        self.admit(self._token)
        for series in self._of(*COUNTERS, *TOGGLES, *QUIET):
            self.control("value", series=series, raw="0")

    def _of(self, *names: str) -> list[str]:
        return [f"{one}{department}" for one in names for department in ("", *self.ready["departments"])]

    @property
    def port(self) -> int:
        return int(self.ready["port"])

    def control(self, command: str, **arguments: Any) -> Any:
        """Steer the emulator."""
        with contextlib.closing(self._connection()) as connection:
            return control(connection, self.ready["control"], command, arguments)

    def go(self) -> None:
        """Push values."""
        self._going.set()

    def rest(self) -> None:
        """Push no more values."""
        self._going.clear()
        assert self._idle.wait(30), self.failure

    def lines(self) -> list[dict[str, Any]]:
        """The journal so far."""
        self.control("stats")
        return [json.loads(line) for journal in self.journals for line in journal.read_text().splitlines()]

    def close(self) -> None:
        self._stop = True
        self._going.set()
        self._thread.join()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def _push(self) -> None:
        due = time.monotonic()
        try:
            for number in self._numbers:
                for series in self.series:
                    if not self._going.is_set():
                        self._idle.set()
                        self._going.wait()
                        due = time.monotonic()
                    self._idle.clear()
                    if self._stop:
                        return
                    value = number if series.startswith(COUNTERS) else number % 2
                    control(self._pushing, self.ready["control"], "value", {"series": series, "raw": str(value)})
                    due += self._pause
                    time.sleep(max(0.0, due - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - told by `rest`
            self.failure = error
        finally:
            self._idle.set()
            self._pushing.close()


def control(connection: http.client.HTTPConnection, base: str, command: str, arguments: dict[str, Any]) -> Any:
    path = f"{urllib.parse.urlsplit(base).path}/{command}"
    connection.request("GET" if command == "stats" else "POST", path, body=json.dumps(arguments))
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return json.loads(text)


class Pair:
    """One account on the cluster; a context manager. Replicas are called first and second.

    Args:
        build: the connector, or another build of it from the folder of builds.
        config: over the configuration of both replicas.
    """

    def __init__(
        self, cluster: Cluster, folder: Path, *, rate: float = 100.0, build: str = "connector", **config: Any
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.cluster = cluster
        self.folder = folder
        self.build = build
        self.prefix = f"f{uuid.uuid4().hex[:10]}"
        self.source = Source(folder, rate)
        self.doors = {replica: cluster.network.proxy(self.source.port) for replica in REPLICAS}
        self.processes: dict[str, subprocess.Popen] = {}
        self._files: list[Any] = []
        self._token = folder / "token"
        self.secrets = {"token": f"canary-token-{uuid.uuid4().hex}+/="}
        self.source.admit(self.secrets["token"])
        self._token.write_text(self.secrets["token"])
        self._token.chmod(0o600)
        self.config_file = folder / "connector.yaml"
        self.config_file.write_text(yaml.safe_dump(merged(self._config(), config)))
        self.audit: Audit | None = None

    def __enter__(self) -> Self:
        try:
            self.command("provision")
            schema_of = self.cluster.registry.store.schemas
            self.audit = Audit(self.cluster.direct, self.topics, lambda number: schema_of[number - 1]).__enter__()
            self.source.go()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        self.source.close()
        for door in self.doors.values():
            door.down()
        if self.audit is not None:
            self.audit.__exit__()
            places = {f"{self.prefix} {name}": repr(self.audit.messages[name][-NEWEST:]) for name in self.topics}
            leaks.search(self.secrets, places)
        for file in self._files:
            file.close()
        leaks.search(self.secrets, {one: (self.folder / f"{one}.log").read_bytes() for one in self.processes})

    # Replicas.

    def start(self, replica: str) -> subprocess.Popen:
        """Start a replica."""
        file = (self.folder / f"{replica}.log").open("ab")
        self._files.append(file)
        command = [sys.executable, "-m", self.build, "run", "--config", str(self.config_file)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, env=self._environment(replica))
        self.processes[replica] = process
        environment = Path("/proc", str(process.pid), "environ").read_bytes()
        leaks.search(self.secrets, {f"{self.prefix}: environment of {replica}": environment})
        return process

    def start_both(self) -> None:
        """Both replicas; returns when one publishes and the other had time to join."""
        self.start("first")
        self.wait_for_commits()
        self.start("second")
        self.wait_joined("second")

    def wait_joined(self, replica: str) -> None:
        """Until a replica is a member of the group."""

        def joined() -> bool:
            alive = {name for name, process in self.processes.items() if process.poll() is None}
            assert replica in alive, f"{replica} has ended: {self.log(replica)[-2000:]}"
            return self.members() >= len(alive)

        wait_until(joined, what=f"{replica} to join")

    def members(self) -> int:
        """Members of the group, by the word of its coordinator."""
        admin = AdminClient({"bootstrap.servers": self.cluster.direct, "log_level": 0})
        with contextlib.suppress(KafkaException), warnings.catch_warnings():
            # The newer call aborts the process if a connection breaks at the wrong moment (librdkafka issue 4605).
            warnings.simplefilter("ignore", DeprecationWarning)
            return sum(len(one.members) for one in admin.list_groups(f"{self.prefix}.acme", timeout=10))
        return 0

    def owner(self) -> str:
        """Who published last."""
        return wait_until(self.audit.owner, what=f"an owner: {self.log('first')[-3000:]}")

    def standby(self) -> str:
        """The other one."""
        return other(self.owner())

    def signal(self, replica: str, number: signal.Signals) -> None:
        self.processes[replica].send_signal(number)

    def kill(self, replica: str) -> None:
        self.processes[replica].kill()
        self.processes[replica].wait()

    def restore(self) -> None:
        """Everything as at the beginning: the cluster whole, both replicas there, the source talking."""
        self.cluster.heal()
        for door in self.doors.values():
            door.heal()
        self.source.go()
        for replica in REPLICAS:
            process = self.processes.get(replica)
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
            else:
                self.start(replica)
                self.wait_joined(replica)

    def log(self, replica: str) -> str:
        file = self.folder / f"{replica}.log"
        return file.read_text() if file.exists() else ""

    # What the auditor sees.

    @property
    def transactional_id(self) -> str:
        return f"{self.prefix}.acme.0"

    @property
    def topics(self) -> dict[str, str]:
        return {
            "metrics": f"{self.prefix}.metrics",
            "latest": f"{self.prefix}.latest",
            "gaps": f"{self.prefix}.gaps",
            "dead-letters": f"{self.prefix}.dead-letters",
            "heartbeats": f"{self.prefix}.acme.heartbeats",
            "offsets": f"{self.prefix}.acme.offsets",
        }

    def committed(self) -> int:
        """Updates that can be read so far."""
        return len(self.audit.messages["metrics"])

    def wait_for_commits(self, more: int = 50, seconds: float = HANG) -> None:
        """Until so many more updates can be read."""
        wanted = self.committed() + more
        what = f"{more} more updates: {self.log('first')[-2000:]} {self.log('second')[-2000:]}"
        wait_until(lambda: self.committed() >= wanted, seconds, what)

    def settle(self) -> None:
        """Let the source fall silent, until a heartbeat proves that everything before is committed or in a gap."""
        self.source.rest()
        quiet = time.time() * 1000 + 1
        through = lambda: max((one.value["complete_through"] for one in self.audit.rows()[-5:]), default=0)  # noqa: E731
        what = f"a heartbeat after the last value: {self.log('first')[-2000:]} {self.log('second')[-2000:]}"
        wait_until(lambda: through() > quiet, what=what)
        self.audit.catch_up()

    def aborted(self) -> int:
        """Records of metrics that were written and never committed; nothing is under way while it counts."""
        self.settle()
        return uncommitted(self.cluster.direct, self.topics["metrics"]) - self.committed()

    def command(self, *arguments: str, timeout: float = HANG) -> subprocess.CompletedProcess:
        """Run one command of the product to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments, "--config", str(self.config_file)],
            capture_output=True, text=True, timeout=timeout, check=False, env=self._environment("first"),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def _environment(self, replica: str) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(BUILDS), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "ZCK_INSTANCE": replica,
            "ZCK_KAFKA__BOOTSTRAP_SERVERS": self.cluster.bootstrap(replica),
            "ZCK_SOURCE__URL": f"ws://127.0.0.1:{self.doors[replica].port}/stream",
        }

    def _config(self) -> dict[str, Any]:
        return {
            "account": "acme",
            "source": {
                "url": self.source.ready["url"],
                "departments_url": f"{self.source.ready['http']}/api/v2/departments",
                "token_file": str(self._token),
                "allow_plain_loopback": True,
                "subscribe_rate": 2000,
                "backoff": {"initial": "50ms", "maximum": "500ms"},
                "auth_backoff": "500ms",
            },
            "subscriptions": [self._subscription(windows=[30, 60]), self._subscription(windows=None)],
            # On three brokers, three partitions have three leaders, and the keys of the source lie on two of them.
            "kafka": {"bootstrap_servers": self.cluster.direct, "partitions": 3},
            "topics": {"prefix": self.prefix},
            "registry": {"urls": [self.cluster.registry.url]},
            "http": {"port": 0},
            "log": {"format": "json", "level": "debug"},
        }

    def _subscription(self, *, windows: list[int] | None) -> dict[str, Any]:
        names = [one.split("|") for one in (*COUNTERS, *TOGGLES, *QUIET)]
        metrics = [name for name, window, _ in names if bool(window) == bool(windows)]
        departments = ["all", *self.source.ready["departments"]]
        return {"metrics": metrics, "departments": departments} | ({"windows": windows} if windows else {})


def other(replica: str) -> str:
    return next(one for one in REPLICAS if one != replica)


def merged(into: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merged(into[key], value)
        else:
            into[key] = value
    return into

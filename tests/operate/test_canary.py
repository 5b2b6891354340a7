"""A whole deployment with a canary in every credential, at DEBUG: none of them may be found anywhere afterwards."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from canary import files, forms, hatch, hits, plain
from confluent_kafka import Consumer, TopicPartition
from secured import ADMIN, ADMIN_PASSWORD, User

from connector.adapters.permissions import grants_of, provision_grants
from connector.config import load
from connector.emulator.server import Emulator
from connector.emulator.settings import EmulatorSettings
from connector.local.process import free_port
from connector.local.registry import LocalRegistry


class World:
    """Emulator with TLS, registry with basic authentication, broker with SASL_SSL; each with canaries."""

    def __init__(self, folder, secured):
        self.folder = folder
        self.secured = secured
        self.canaries = {
            "token": plain("token"),
            "sasl": plain("sasl"),
            "registry": plain("registry"),
            "oauth": plain("oauth"),
            "http": plain("http"),
            "wrong": plain("wrong"),
            "oauth access token": "issued-token-1",
        }
        self.secrets = folder / "secrets"
        self.secrets.mkdir()
        self.out = folder / "out"
        self.out.mkdir()
        self.user = secured.user(self.canaries["sasl"])
        self.port = free_port()
        self.registry = LocalRegistry().start()
        basic = base64.b64encode(f"user:{self.canaries['registry']}".encode()).decode()
        self.registry.faults.authorization = f"Basic {basic}"
        self._emulate()
        self.config_file = self.write()
        self.permit(load(self.config_file, {}))

    def permit(self, config):
        """What run and provision need."""
        metrics = config.metrics_topics()
        create = [one for one in provision_grants(config, metrics) if one.operation != "DescribeConfigs"]
        self.secured.grant(self.user, [*grants_of(config, metrics), *create])

    def _emulate(self):
        started, self._ending = threading.Event(), []

        async def serve():
            settings = EmulatorSettings(
                tls=self.folder / "tls",
                rate=50.0,
                tokens={self.canaries["token"]: "owner"},
                clients={"client": self.canaries["oauth"]},
            )
            async with Emulator(settings) as running:
                self.source = running.port
                stop = asyncio.Event()
                self._ending.append((asyncio.get_running_loop(), stop))
                started.set()
                await stop.wait()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        assert started.wait(60)

    def close(self):
        loop, stop = self._ending[0]
        loop.call_soon_threadsafe(stop.set)
        self._thread.join()
        self.registry.stop()

    def secret(self, name):
        file = self.secrets / name
        file.write_text(self.canaries[name])
        file.chmod(0o600)
        return str(file)

    def write(self, name="config", **changes):
        """A configuration; ``changes`` by dotted key, None removes it."""
        if not hasattr(self, "prefix"):
            self.prefix = f"c{uuid.uuid4().hex[:8]}"
        base = f"127.0.0.1:{self.source}"
        settings = {
            "account": "acme",
            "guarantee": "best-effort",
            "source": {
                "url": f"wss://{base}/stream",
                "departments_url": f"https://{base}/api/v2/departments",
                "token_file": self.secret("token"),
                "ca_file": str(self.folder / "tls" / "ca.pem"),
                "backoff": {"initial": "50ms", "maximum": "200ms"},
            },
            "subscriptions": [{"metrics": ["chats.*", "agents.*"], "windows": [30], "departments": ["all", 1]}],
            "kafka": {
                "bootstrap_servers": self.secured.bootstrap,
                "properties": {**self.secured.properties(self.user), "debug": "security,conf,feature"},
                "property_files": {"sasl.password": self.secret("sasl")},
                "partitions": 2,
                "replication_factor": 1,
                "min_insync_replicas": 1,
            },
            "registry": {
                "urls": [self.registry.url],
                "basic": {"username": "user", "password_file": self.secret("registry")},
                "timeout": 5,
            },
            "topics": {"prefix": self.prefix},
            "http": {"port": self.port, "token_file": self.secret("http")},
            "log": {"level": "debug", "format": "json"},
        }
        for key, value in changes.items():
            *way, last = key.split("__")
            section = settings
            for part in way:
                section = section.setdefault(part, {})
            section[last.replace("~", ".")] = value
            if value is None:
                del section[last]
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file

    def command(self, name, *arguments, **environment):
        """Run to its end; output and errors become files to search."""
        done = subprocess.run(
            [sys.executable, "-m", "connector", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, **environment},
        )
        (self.out / f"{name}.out").write_text(done.stdout)
        (self.out / f"{name}.err").write_text(done.stderr)
        return done

    def run_until(self, name, file, said, *, ended):
        """Run until the log says it: then it has ended with a code, or goes on and is stopped."""
        path = self.out / f"{name}.err"
        with path.open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "connector", "run", "-c", file], stderr=log)
        try:
            until(lambda: said in path.read_text())
            if ended is None:
                process.send_signal(signal.SIGTERM)
            assert process.wait(30) == (ended or 0)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    @contextmanager
    def running(self, file, **environment):
        """A connector, killed at the end if it still runs; its log is one of the places."""
        command = [sys.executable, "-m", "connector", "run", "-c", file]
        with (self.out / "run.err").open("wb") as log:
            process = subprocess.Popen(command, stderr=log, env={**os.environ, **environment}, cwd=self.out)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def look(self, process):
        """What a running connector shows: its pages, and what /proc tells of it."""
        base, token = f"http://127.0.0.1:{self.port}", self.canaries["http"]
        until(lambda: b'"sequence":' in ask(f"{base}/api/status", token)[1])
        for name, path in (("page", "/"), ("status", "/api/status"), ("metrics", "/metrics"), ("ready", "/readyz")):
            status, body = ask(base + path, token)
            assert status == 200, (path, status, body)
            (self.out / f"http-{name}").write_bytes(body)
            (self.out / f"http-{name}-refused").write_bytes(ask(base + path, self.canaries["wrong"])[1])
        request = urllib.request.Request(f"{base}/api/events", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=20) as events:
            (self.out / "http-events").write_bytes(b"".join(events.readline() for _ in range(6)))
        proc = Path("/proc") / str(process.pid)
        for name in ("environ", "cmdline"):
            (self.out / f"proc-{name}").write_bytes((proc / name).read_bytes())
        limits = (proc / "limits").read_text()
        assert [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")] == [["0", "0"]]

    def found(self):
        return hits(self.canaries, files(self.out))

    def dump(self):
        """Every record of every topic, aborted ones too, as it is in Kafka."""
        connection = self.secured.connection(User(ADMIN, ADMIN_PASSWORD), "PLAIN")
        consumer = Consumer(
            {
                "bootstrap.servers": self.secured.bootstrap,
                **connection,
                "group.id": uuid.uuid4().hex,
                "isolation.level": "read_uncommitted",
                "enable.partition.eof": True,
            }
        )
        topics = consumer.list_topics(timeout=30).topics
        places = [TopicPartition(n, p, 0) for n, t in topics.items() if n.startswith(self.prefix) for p in t.partitions]
        consumer.assign(places)
        left, records = len(places), []
        while left:
            message = consumer.poll(20)
            assert message is not None
            if message.error():
                left -= 1
            else:
                records.append(
                    b"\n".join([message.key() or b"", message.value() or b"", repr(message.headers()).encode()])
                )
        consumer.close()
        (self.out / "topics").write_bytes(b"\n".join(records))
        return records


@pytest.fixture(scope="module")
def world(tmp_path_factory, secured):
    world = World(tmp_path_factory.mktemp("canary"), secured)
    yield world
    world.close()


def ask(url, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError):
            if found := condition():
                return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def test_a_run_that_works(world):
    """Everything a running connector shows: log, pages, topics, what /proc tells."""
    done = world.command("provision", "provision", "-c", world.config_file)
    assert done.returncode == 0, done.stderr
    for name, options in (("check", ()), ("check-json", ("--json",))):
        done = world.command(name, "check", "-c", world.config_file, *options)
        assert done.returncode == 0, done.stdout + done.stderr
    with world.running(world.config_file) as process:
        world.look(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert len(world.dump()) > 30
    assert world.found() == []
    lines = (world.out / "run.err").read_text().splitlines()
    assert {"session opened", "shard acquired", "kafka client", "promise"} <= {
        json.loads(line)["event"] for line in lines
    }
    assert list(world.folder.rglob("core*")) == []


WRONG = {
    "sasl": ({"kafka__property_files": {"sasl.password": "WRONG"}}, 4, "uthentication failed"),
    "token": ({"source__token_file": "WRONG"}, 3, "refused the token"),
    "tls": ({"source__ca_file": None}, 1, "certificate"),
    "registry": ({"registry__basic": {"username": "user", "password_file": "WRONG"}}, 5, "HTTP 401"),
    "oauth": (
        {"source__token_file": None, "source__oauth": {"client_id": "client", "client_secret_file": "WRONG"}},
        3,
        "client credentials refused",
    ),
}


KEEPS_TRYING = {"token", "tls"}
"""What may be mended while the connector runs."""


def replaced(value, world):
    if isinstance(value, dict):
        return {key: replaced(one, world) for key, one in value.items()}
    return world.secret("wrong") if value == "WRONG" else value


@pytest.mark.parametrize("case", WRONG)
def test_what_goes_wrong(world, case):
    changes, code, said = WRONG[case]
    changes = replaced(changes, world)
    if "source__oauth" in changes:
        changes["source__oauth"]["token_url"] = f"https://127.0.0.1:{world.source}/oauth2/token"
    file = world.write(f"wrong-{case}", http__enabled=False, **changes)
    done = world.command(f"check-{case}", "check", "-c", file, ZCK_TRACEBACK="1")
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout
    assert "Traceback" not in done.stderr
    world.run_until(f"run-{case}", file, said, ended=None if case in KEEPS_TRYING else code)
    assert world.found() == []


def test_oauth_works(world):
    oauth = {
        "client_id": "client",
        "client_secret_file": world.secret("oauth"),
        "token_url": f"https://127.0.0.1:{world.source}/oauth2/token",
    }
    done = world.command(
        "check-oauth", "check", "-c", world.write("oauth", source__token_file=None, source__oauth=oauth)
    )
    assert "opens the stream" in done.stdout, done.stdout + done.stderr
    assert world.found() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source__url", "wss://user:{}@example.com/stream"),
        ("kafka__properties", {"sasl.password": "{}"}),
        ("registry__urls", ["https://user:{}@example.com"]),
        ("source__token", "{}"),
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_unseen(world, key, value):
    text = json.dumps(value).replace("{}", world.canaries["wrong"])
    done = world.command(f"refused-{key}", "check", "-c", world.write("refused", **{key: json.loads(text)}))
    assert done.returncode == 2
    assert world.found() == []


def test_no_proxy_of_the_environment_gets_anything(world):
    """Neither the source's token nor the registry's password leaves through a proxy that nobody configured."""
    seen = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(str(self.headers))
            self.send_error(502)

        do_CONNECT = do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    try:
        done = world.command(
            "proxy", "check", "-c", world.config_file, **dict.fromkeys(names, url), NO_PROXY="", no_proxy=""
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert seen == []
    assert "opens the stream" in done.stdout


# Negative controls: what finds nothing must be able to find.


@pytest.mark.parametrize("form", sorted(forms("x" * 12)))
def test_a_planted_leak_is_found(form, tmp_path):
    secret = hatch("planted")
    (tmp_path / "log").write_text(f"GET /?x={forms(secret)[form]}&y HTTP/1.1")
    (hit,) = hits({"planted": secret}, files(tmp_path))
    assert hit.place == "log"


PLACES = {
    "run.err", "http-status", "http-events", "http-metrics", "topics", "unknown.err", "proc-environ", "core.1",
}  # fmt: skip
"""Log, status, page, metrics, topics, errors, environment, memory: where a secret could show."""


def test_what_is_planted_everywhere_is_found_in_every_place(world, tmp_path, monkeypatch):
    """A run whose account bears the planted text, which is no secret, so that nothing hides it."""
    plant = f"canary-planted-{uuid.uuid4().hex[:12]}"
    monkeypatch.setattr(world, "out", tmp_path)
    file = world.write("planted", account=plant)
    world.permit(load(file, {}))
    assert world.command("provision", "provision", "-c", file).returncode == 0
    unknown = world.write("unknown", account=plant, topics__metrics=f"{{prefix}}.{plant}")
    assert world.command("unknown", "run", "-c", unknown).returncode != 0
    with world.running(file, PLANTED=plant) as process:
        world.look(process)
        # Told to leave its memory behind, it leaves nothing; what it would have left is planted, too.
        process.send_signal(signal.SIGABRT)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = -signal.SIGABRT
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.glob("core*")) == []
    (tmp_path / "core.1").write_bytes(b"\x7fELF\0" + plant.encode() + b"\0")
    world.dump()
    assert {hit.place for hit in hits({"planted": plant}, files(tmp_path))} >= PLACES


def test_a_leak_of_the_product_is_found(world, tmp_path):
    """With the filter switched off and the library's log level raised, the token is found in the log of a check."""
    program = (
        "import sys, logging, connector.adapters.websocket\n"
        "logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)\n"
        "logging.getLogger('websockets').setLevel(logging.DEBUG)\n"
        "sys.argv[1:] = ['check', '-c', sys.argv[1]]\n"
        "from connector.cli.app import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, world.config_file], capture_output=True, text=True, timeout=120, check=False
    )
    assert {hit.canary.split()[0] for hit in hits(world.canaries, {"log": done.stderr})} == {"token"}

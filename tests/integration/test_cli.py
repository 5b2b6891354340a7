"""The commands, each as a process of its own would run it."""

import ast
import asyncio
import json
import os
import re
import shlex
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path

import leaks
import pytest
import yaml
from confluent_kafka import Producer
from typer.main import get_command

from connector.adapters import log
from connector.adapters.registry import SchemaRegistry
from connector.adapters.schema_files import by_topic
from connector.cli.app import COMMANDS, app, main
from connector.cli.examples import EXAMPLES
from connector.config import load
from connector.emulator.server import Emulator
from connector.emulator.settings import EmulatorSettings

OWNER, AGENT = (f"canary-{role}-{uuid.uuid4().hex}+/=end" for role in ("owner", "agent"))
UPDATE = {
    "event_id": "e",
    "account": "acme",
    "family": "chats",
    "metric": "missed_chats",
    "department_id": 1,
    "window_minutes": 30,
    "value": 3.0,
    "value_raw": "3",
    "received_at": 1700000000123,
    "series": "chats.missed_chats|30|1",
    "sequence": 1,
    "epoch": 1,
    "session_id": "s",
    "frame": 1,
    "batch_id": 1,
    "unit": "chats",
    "origin": "initial",
}


@pytest.fixture
def command(monkeypatch, capfd):
    """Run one command line; exit code, output and errors."""
    for name in list(os.environ):
        if name.startswith("ZCK_"):
            monkeypatch.delenv(name)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["zendesk-chat-kafka", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        out, err = capfd.readouterr()
        leaks.search({"owner's token": OWNER, "agent's token": AGENT}, {f"output of {arguments[:2]}": out + err})
        return code, out, err

    return run


@contextmanager
def emulator(**settings):
    """An emulator on a thread of its own."""
    started, ports, ending = threading.Event(), [], []

    async def serve():
        async with Emulator(EmulatorSettings(tokens={OWNER: "owner", AGENT: "agent"}, **settings)) as running:
            ports.append(running.port)
            ending.append((asyncio.get_running_loop(), stop := asyncio.Event()))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    try:
        yield ports[0]
    finally:
        loop, stop = ending[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@pytest.fixture
def configuration(tmp_path):
    """Writes a configuration file for servers on this machine."""

    def write(*, port=1, bootstrap="127.0.0.1:1", registry="http://127.0.0.1:1", token=OWNER, **more):
        secret = tmp_path / "token"
        secret.write_text(token)
        secret.chmod(0o600)
        settings = {
            "account": "acme",
            "guarantee": "best-effort",
            "source": {
                "url": f"ws://127.0.0.1:{port}/stream",
                "departments_url": f"http://127.0.0.1:{port}/api/v2/departments",
                "token_file": str(secret),
                "allow_plain_loopback": True,
                "open_timeout": "2s",
            },
            "subscriptions": [{"metrics": ["chats.*"], "windows": [30, 60], "departments": ["all", 1]}],
            "kafka": {
                "bootstrap_servers": bootstrap,
                "replication_factor": 1,
                "min_insync_replicas": 1,
                "partitions": 3,
            },
            "registry": {"urls": [registry], "timeout": 2},
            "topics": {"prefix": f"t{uuid.uuid4().hex[:8]}"},
            **more,
        }
        file = tmp_path / "c.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file

    return write


def test_version_help_and_exit_codes(command):
    assert command("--version") == (0, "zendesk-chat-kafka 0.1.0\n", "")
    code, out, _ = command("--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)
    assert "Exit codes" in out


def test_usage_errors(command):
    assert command("nonsense")[0] == 2
    assert command("check", "--nonsense")[0] == 2


def test_config_init_shows_what_loads(command, tmp_path):
    file = tmp_path / "new.yaml"
    code, out, _ = command("config", "init", file)
    assert code == 0
    assert load(file, {}).account == "my-account"
    assert str(file) in out.replace("\n", "")
    code, _, err = command("config", "init", file)
    assert (code, err.replace("\n", "")) == (2, f"error: {file}: is there already; choose another name, or --force")
    assert command("config", "init", "--force", file)[0] == 0
    assert command("config", "init")[1] == file.read_text()
    assert command("config", "init", tmp_path)[0] == 2


def test_every_default_in_the_template_is_valid(command, tmp_path):
    """Taking the comment signs away gives the same configuration."""
    text = command("config", "init")[1]
    lines = [line for line in text.splitlines() if "##" not in line]
    active = [line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line for line in lines]
    kept = [line for line in active if not line.startswith("Config") and ":" in line]
    values = yaml.safe_load("\n".join(line for line in kept if not line.startswith(("Every", "Durations"))))
    assert values["source"]["ping_interval"] == "5s"
    assert values["batch"]["max_bytes"] == "8MiB"
    assert values["topics"]["retention"]["metrics"] == "7d"


def test_config_show_merges_the_environment_and_shows_no_secret(command, configuration, monkeypatch):
    file = configuration(token="canary")
    monkeypatch.setenv("ZCK_SOURCE__PING_INTERVAL", "250ms")
    code, out, _ = command("config", "show", "-c", file, "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["source"]["ping_interval"] == "250ms"
    assert shown["source"]["token_file"].endswith("token")
    assert "canary" not in out
    plain = command("config", "show", "-c", file)[1]
    assert yaml.safe_load(plain) == shown
    file.write_text(plain)
    assert json.loads(command("config", "show", "-c", file, "--json")[1]) == shown


def test_config_schema(command):
    schema = json.loads(command("config", "schema")[1])
    assert schema["properties"]["account"]["description"]
    assert schema["additionalProperties"] is False


def test_missing_file_and_configuration_by_environment_alone(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert command("check") == (
        2,
        "",
        "error: zendesk-chat-kafka.yaml: no such file; write one with zendesk-chat-kafka config init\n",
    )
    monkeypatch.setenv("ZCK_ACCOUNT", "acme")
    code, _, err = command("check")
    assert code == 2
    assert err.startswith("error: environment: kafka: missing;")


def test_unexpected_errors_are_one_line(command, monkeypatch, tmp_path):
    monkeypatch.setattr("connector.config.load", lambda *_: {}["canary"])
    code, _, err = command("config", "show", "-c", tmp_path)
    assert code == 1
    assert err.startswith("error: unexpected KeyError at test_cli.py:")
    assert "Traceback" not in err
    monkeypatch.setenv("ZCK_TRACEBACK", "1")
    assert "Traceback" in command("config", "show", "-c", tmp_path)[2]


def findings(out):
    return {(one["state"], one["subject"]) for one in json.loads(out)["findings"]}


def test_check_without_any_server(command, configuration, monkeypatch):
    monkeypatch.setattr("connector.adapters.admin.TIMEOUT", 1.0)
    code, out, _ = command("check", "-c", configuration(), "--json")
    assert code == 1
    assert {("fail", "source"), ("fail", "kafka"), ("fail", "registry")} <= findings(out)


def test_check_of_secrets(command, configuration, monkeypatch):
    monkeypatch.setattr("connector.adapters.admin.TIMEOUT", 1.0)
    file = configuration()
    token = file.parent / "token"
    token.chmod(0o644)
    assert ("warn", "source.token_file") in findings(command("check", "-c", file, "--json")[1])
    token.unlink()
    code, out, _ = command("check", "-c", file, "--json")
    assert code == 2
    assert ("fail", "source.token_file") in findings(out)


@pytest.mark.parametrize(
    ("token", "departments", "code", "expected"),
    [
        (OWNER, ["*"], 0, {("pass", "token"), ("pass", "departments"), ("pass", "subscriptions")}),
        ("nobody", [1], 3, {("fail", "source")}),
        (AGENT, [1], 0, {("pass", "token"), ("pass", "subscriptions")}),
        (AGENT, ["*"], 3, {("fail", "departments")}),
        (OWNER, ["Nope"], 2, {("fail", "departments")}),
        (OWNER, [1, 99], 3, {("fail", "chats.* of department 99"), ("pass", "subscriptions")}),
    ],
)
def test_check_of_the_source(command, configuration, monkeypatch, token, departments, code, expected):
    monkeypatch.setattr("connector.cli.preflight._topics", lambda *_: [])
    monkeypatch.setattr("connector.cli.preflight._schemas", lambda *_: [])
    subscriptions = [{"metrics": ["chats.*"], "windows": [30], "departments": departments}]
    with emulator() as port:
        file = configuration(port=port, token=token, subscriptions=subscriptions)
        ended, out, _ = command("check", "-c", file, "--json")
    assert expected <= findings(out)
    assert ended == code
    assert json.loads(out)["ok"] is (code == 0)


def test_check_of_a_cold_source(command, configuration, monkeypatch):
    monkeypatch.setattr("connector.cli.preflight._topics", lambda *_: [])
    monkeypatch.setattr("connector.cli.preflight._schemas", lambda *_: [])
    with emulator(cold=True) as port:
        code, out, _ = command("check", "-c", configuration(port=port))
    assert code == 0
    assert out.count("no value yet") == 30
    assert "30 unconfirmed" not in out


@pytest.mark.kafka
def test_provision_then_check_then_tail(command, configuration, kafka_bootstrap, registry_url):
    with emulator() as port:
        file = configuration(port=port, bootstrap=kafka_bootstrap, registry=registry_url)
        code, out, _ = command("check", "-c", file, "--json")
        assert code == 4
        assert {("fail", "topics"), ("fail", "registry")} <= findings(out)
        code, out, _ = command("provision", "-c", file, "--dry-run")
        assert code == 0
        assert out.count("to create") == 7
        assert out.count("to register") == 6
        code, out, err = command("provision", "-c", file, "--schemas-only", "--json")
        assert code == 4
        assert err.startswith("error: topics that do not exist: ")
        assert {one["action"] for one in json.loads(out)["topics"]} == {"missing"}
        assert {one["action"] for one in json.loads(out)["subjects"]} == {"registered"}
        code, out, _ = command("provision", "-c", file, "--json")
        assert code == 0
        assert {one["action"] for one in json.loads(out)["topics"]} == {"created"}
        assert {one["action"] for one in json.loads(out)["subjects"]} == {"unchanged"}
        assert command("provision", "-c", file, "--schemas-only")[0] == 0
        code, out, _ = command("check", "-c", file)
        assert code == 0
        assert "0 failed" in out
    tail(command, file)


def tail(command, file):
    """What `tail` shows of records that this test writes."""
    config = load(file, {})
    topics = by_topic(config.names, config.metrics_topics())
    with SchemaRegistry(config.registry) as registry:
        encode = registry.encoders(topics)["metric-update"]
    metrics, latest = config.metrics_topics()[0], config.names.latest
    producer = Producer({**config.kafka.connection(), "transactional.id": "t", "partitioner": "murmur2_random"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(5):
        all_departments = {**UPDATE, "sequence": number, "department_id": None, "series": "chats.missed_chats|30|"}
        producer.produce(metrics, encode(UPDATE | {"sequence": number}), b"1")
        producer.produce(metrics, encode(all_departments), b"all")
    producer.produce(latest, None, b"acme/chats.missed_chats|30|1")
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce(metrics, encode(UPDATE | {"sequence": 99}), b"1")
    producer.flush(30)
    producer.abort_transaction(30)

    def shown(*options):
        code, out, _ = command("tail", "-c", file, "--from", "beginning", "--no-follow", "--json", *options)
        assert code == 0
        return [json.loads(line) for line in out.splitlines()]

    assert len(shown()) == 10, "committed records only"
    assert [one["value"]["sequence"] for one in shown("--department", "1")] == list(range(5))
    assert len(shown("--department", "all", "--metric", "missed_chats")) == 5
    assert shown("--metric", "chats.active_chats") == []
    assert len(shown("--series", "chats.missed_chats|30|1", "--limit", "2")) == 2
    assert shown("--topic", "latest")[0]["value"] is None
    assert shown("--topic", "gaps") == []
    code, out, _ = command("tail", "-c", file, "--from", "beginning", "--no-follow", "--limit", "1")
    assert code == 0
    assert "chats.missed_chats|30|" in out
    assert "(removed)" in command("tail", "-c", file, "--from", "beginning", "--no-follow", "--topic", "latest")[1]
    code, _, err = command("tail", "-c", file, "--metric", "nope")
    assert code == 2
    assert err.startswith('error: --metric: unknown metric "nope"; the metrics are')


@pytest.mark.kafka
def test_provision_names_what_differs(command, configuration, kafka_bootstrap, registry_url, monkeypatch):
    file = configuration(bootstrap=kafka_bootstrap, registry=registry_url)
    assert command("provision", "-c", file)[0] == 0
    monkeypatch.setenv("ZCK_KAFKA__PARTITIONS", "5")
    code, out, err = command("provision", "-c", file)
    assert code == 4
    assert out.count("differs") == 4
    assert out.count("partition count is 3, not 5; set kafka.partitions: 3") == 4
    assert err.startswith("error: topic ")


@pytest.mark.kafka
def test_tail_of_a_missing_topic(command, configuration, kafka_bootstrap, registry_url):
    code, _, err = command("tail", "-c", configuration(bootstrap=kafka_bootstrap, registry=registry_url))
    assert code == 4
    assert "run zendesk-chat-kafka provision" in err


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "config"])
def test_the_help_ends_with_examples_that_are_command_lines(command, name):
    found = get_command(app).get_command(None, name)
    for line in EXAMPLES[name]:
        found.make_context(name, shlex.split(line.replace("|", r"\|")))
    code, out, _ = command(name, "--help")
    assert code == 0
    assert f"zendesk-chat-kafka {name} {EXAMPLES[name][0]}".rstrip() in " ".join(out.partition("Examples")[2].split())
    assert command(name, "--no-such-option")[0] == 2


def test_every_log_line_that_we_write_is_documented():
    """The first argument of each call that writes a line, and the table of docs/operations.md."""
    written = set()
    for node in ast.walk(ast.parse(Path(log.__file__).read_text())):
        if isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("debug", "info", "warning", "error", "log", "write"):
                texts = ast.walk(node.args[called == "log"])
                written |= {one.value for one in texts if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = page.partition("## Log lines")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert documented - {"event"} == written

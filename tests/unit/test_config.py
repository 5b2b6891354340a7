"""The configuration: what it accepts, and the one line it says to each mistake."""

import logging
import re
import stat
from pathlib import Path

import pytest
import yaml

from connector.cli.reload import needs_restart
from connector.config import Config, load, loose_mode, places, read_secret
from connector.config.units import format_duration, format_size, parse_duration, parse_rate, parse_size
from connector.domain.model import Series
from connector.errors import ConfigError

GOOD = """\
account: acme
source:
  url: wss://rtm.example/stream
  token_file: /run/secrets/token
subscriptions:
  - metrics: [chats.missed_chats]
    windows: [30]
  - metrics: [agents.*]
    departments: [all, 5]
kafka:
  bootstrap_servers: kafka:9092
registry:
  urls: ["https://registry:8081"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(text)
    return path


def error_of(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(path), "c.yaml")


def good(folder: Path, text: str = GOOD, environ: dict[str, str] | None = None) -> Config:
    return load(write(folder, text), environ or {})


def replaced(old: str, new: str, text: str = GOOD) -> str:
    assert old in text
    return text.replace(old, new)


# (what is wrong, old text, new text, the expected line)
BROKEN = [
    (
        "unknown top key",
        "account: acme",
        "acount: acme",
        "c.yaml:1: acount: unknown key; did you mean account? (and 1 more)",
    ),
    ("unknown nested key", "  url: wss", "  ulr: wss", "c.yaml:3: source.ulr: unknown key; did you mean url?"),
    (
        "unknown key without a likeness",
        "account: acme",
        "account: acme\nheartbeat: {zzz: 1}",
        "c.yaml:2: heartbeat.zzz: unknown key; known here: interval",
    ),
    (
        "missing account",
        "account: acme\n",
        "",
        "c.yaml: account: missing; set it: Name of the account in records, keys and topic names: a-z, 0-9, . _ -",
    ),
    (
        "missing nested key",
        "  bootstrap_servers: kafka:9092",
        "  shards: 1",
        "c.yaml:10: kafka.bootstrap_servers: missing; set it: Brokers to begin with: host:port, separated by commas",
    ),
    (
        "account with forbidden letters",
        "account: acme",
        "account: ACME Inc",
        "c.yaml:1: account: must consist of a-z, 0-9, . _ and - only, at most 100 of them",
    ),
    ("account is a number", "account: acme", "account: 5", "c.yaml:1: account: must be text; write it in quotes"),
    (
        "unknown metric",
        "chats.missed_chats",
        "chats.missed_chat",
        'c.yaml:6: subscriptions[0].metrics[0]: unknown metric "chats.missed_chat"; did you mean chats.missed_chats?',
    ),
    (
        "metric without its family",
        "chats.missed_chats",
        "missed_chats",
        'c.yaml:6: subscriptions[0].metrics[0]: unknown metric "missed_chats"; did you mean chats.missed_chats?',
    ),
    (
        "metric of the other family",
        "chats.missed_chats",
        "chats.agents_online",
        (
            'c.yaml:6: subscriptions[0].metrics[0]: unknown metric "chats.agents_online";'
            " did you mean agents.agents_online?"
        ),
    ),
    (
        "missing window",
        "\n    windows: [30]",
        "",
        (
            "c.yaml:6: subscriptions[0].windows: missing, chats.missed_chats is counted per window;"
            " add windows: [30], [60] or both"
        ),
    ),
    (
        "window of another length",
        "[30]",
        "[15]",
        "c.yaml:7: subscriptions[0].windows[0]: must be 30 or 60, in minutes",
    ),
    (
        "window on an agent metric",
        "[agents.*]",
        "[agents.agents_online]\n    windows: [30]",
        (
            "c.yaml:9: subscriptions[1].windows: agent metrics have no window;"
            " move agents.agents_online into an entry without windows"
        ),
    ),
    (
        "window on all agent metrics",
        "[agents.*]",
        "[agents.*]\n    windows: [30]",
        "c.yaml:9: subscriptions[1].windows: agent metrics have no window; remove windows",
    ),
    (
        "window on a chat metric without one",
        "[chats.missed_chats]",
        "[chats.missed_chats, chats.active_chats]",
        (
            "c.yaml:7: subscriptions[0].windows: chats.active_chats has no window;"
            " move chats.active_chats into an entry without windows"
        ),
    ),
    (
        "department is a boolean",
        "[all, 5]",
        "[yes]",
        "c.yaml:9: subscriptions[1].departments[0]: must be a department's id, its name in quotes, all or '*'",
    ),
    (
        "department id out of range",
        "[all, 5]",
        "[-5]",
        "c.yaml:9: subscriptions[1].departments[0]: must be a positive 64-bit department id",
    ),
    (
        "star without quotes",
        "[all, 5]",
        "[*]",
        "c.yaml:9: not YAML: expected alphabetic or numeric character, but found ']'; put '*' in quotes",
    ),
    (
        "no subscriptions",
        "kafka:\n",
        "batch: {}\nkafka:\n",
        "c.yaml:5: subscriptions: must not be empty",
    ),
    (
        "plain URL",
        "wss://rtm.example/stream",
        "ws://rtm.example/stream",
        "c.yaml:3: source.url: is not encrypted; use wss:// (plain ws:// only to this machine)",
    ),
    (
        "plain loopback URL without the flag",
        "wss://rtm.example/stream",
        "ws://127.0.0.1:9/stream",
        "c.yaml:3: source.url: is not encrypted; use wss://, or set source.allow_plain_loopback: true",
    ),
    (
        "URL with credentials",
        "wss://rtm.example/stream",
        "wss://me:hunter2@rtm.example/stream",
        "c.yaml:3: source.url: contains credentials; remove them, secrets are read from files",
    ),
    (
        "URL of another scheme",
        "wss://rtm.example/stream",
        "file:///etc/passwd",
        "c.yaml:3: source.url: must begin with wss:// or ws://",
    ),
    (
        "URL of the metadata service",
        "wss://rtm.example/stream",
        "wss://169.254.169.254/stream",
        "c.yaml:3: source.url: is a link-local, multicast or unspecified address; name the server",
    ),
    (
        "URL with a query",
        "wss://rtm.example/stream",
        "wss://rtm.example/stream?token=1",
        "c.yaml:3: source.url: must not contain ? or #; remove what follows",
    ),
    (
        "no credentials",
        "  token_file: /run/secrets/token\n",
        "",
        "c.yaml:2: source.token_file: missing; name the file with the access token, or set source.oauth",
    ),
    (
        "two kinds of credentials",
        "  token_file: /run/secrets/token",
        "  token_file: /t\n  oauth: {client_id: a, client_secret_file: /s}",
        "c.yaml:5: source.oauth: stands beside source.token_file; remove one of the two",
    ),
    (
        "more requests than the account has",
        "  token_file",
        "  requests_per_minute: 201\n  token_file",
        (
            "c.yaml:4: source.requests_per_minute: is above the 200 a minute of the whole account;"
            " lower it, other clients share them"
        ),
    ),
    (
        "more sessions than an agent has",
        "  token_file",
        "  max_sessions: 11\n  token_file",
        "c.yaml:4: source.max_sessions: is above the 10 connections of one agent; lower it",
    ),
    (
        "duration without a unit that exists",
        "  token_file",
        "  ping_interval: 5 sec\n  token_file",
        (
            "c.yaml:4: source.ping_interval: must be a duration;"
            " write for example 250ms, 5s, 2m, 12h, 7d, or a number of seconds"
        ),
    ),
    (
        "size that is none",
        "  token_file",
        "  max_frame: big\n  token_file",
        "c.yaml:4: source.max_frame: must be a size; write for example 64KiB, 1MB, or a number of bytes",
    ),
    (
        "size out of range",
        "  token_file",
        "  max_frame: 1\n  token_file",
        "c.yaml:4: source.max_frame: must be at least 1024",
    ),
    (
        "choice that is none",
        "  token_file",
        "  unsubscribe: rude\n  token_file",
        "c.yaml:4: source.unsubscribe: must be polite or exact",
    ),
    (
        "switch that is none",
        "  token_file",
        "  compression: perhaps\n  token_file",
        "c.yaml:4: source.compression: must be true or false",
    ),
    (
        "more shards than partitions",
        "kafka:9092",
        "kafka:9092\n  shards: 13",
        "c.yaml:12: kafka.shards: is more than partitions (12); lower it",
    ),
    (
        "partitions is true",
        "kafka:9092",
        "kafka:9092\n  partitions: true",
        "c.yaml:12: kafka.partitions: must be a whole number",
    ),
    (
        "a setting that is ours",
        "kafka:9092",
        "kafka:9092\n  properties:\n    transactional.id: mine",
        (
            "c.yaml:13: kafka.properties.transactional.id: is set by the connector:"
            " it follows from topics.prefix, account and shard; remove it"
        ),
    ),
    (
        "idempotence switched off",
        "kafka:9092",
        "kafka:9092\n  properties:\n    enable.idempotence: false",
        "c.yaml:13: kafka.properties.enable.idempotence: is set by the connector: the promise needs it on; remove it",
    ),
    (
        "certificates unchecked",
        "kafka:9092",
        "kafka:9092\n  properties:\n    ssl.endpoint.identification.algorithm: none",
        (
            "c.yaml:13: kafka.properties.ssl.endpoint.identification.algorithm: is set by the connector:"
            " certificates are always checked; remove it"
        ),
    ),
    (
        "password in the file",
        "kafka:9092",
        "kafka:9092\n  properties:\n    sasl.password: hunter2",
        (
            "c.yaml:13: kafka.properties.sasl.password: is secret;"
            " write it to a file and name that in kafka.property_files.sasl.password"
        ),
    ),
    (
        "strict on one replica",
        "kafka:9092",
        "kafka:9092\n  min_insync_replicas: 1",
        (
            "c.yaml:12: kafka.min_insync_replicas: below 2 cannot keep guarantee: strict;"
            " raise it, or set guarantee: best-effort"
        ),
    ),
    (
        "fixed ownership outside the demo",
        "account: acme",
        "account: acme\nownership: fixed",
        "c.yaml:2: ownership: fixed and guarantee: demo go together, for the demo broker; set both or none",
    ),
    (
        "mock registry",
        "https://registry:8081",
        "mock://here",
        "c.yaml:13: registry.urls[0]: must begin with https:// or http://",
    ),
    (
        "registry password unencrypted",
        '["https://registry:8081"]',
        '["http://registry:8081"]\n  basic: {username: me, password_file: /p}',
        "c.yaml:13: registry.urls[0]: would send credentials unencrypted; use https://",
    ),
    (
        "topic template with an unknown place",
        "account: acme",
        'account: acme\ntopics: {gaps: "{prefix}.{metric}"}',
        "c.yaml:2: topics.gaps: contains {metric}; it may contain {prefix} and {account}",
    ),
    (
        "topic template with a lone brace",
        "account: acme",
        'account: acme\ntopics: {gaps: "{prefix.gaps"}',
        "c.yaml:2: topics.gaps: has unbalanced braces; it may contain {prefix} and {account}",
    ),
    (
        "two topics of one name",
        "account: acme",
        "account: acme\ntopics: {gaps: zendesk.chat.metrics}",
        "c.yaml:2: topics.gaps: is the same topic as topics.metrics; each needs its own",
    ),
    (
        "topic name that Kafka refuses",
        "account: acme",
        'account: acme\ntopics: {prefix: "chat metrics"}',
        'c.yaml:2: topics: "chat metrics.metrics" is no topic name; use a-z, A-Z, 0-9, . _ and -, at most 249 of them',
    ),
    (
        "a topic per department with every department",
        "[all, 5]",
        "['*']\ntopics: {metrics: 'm.{department}'}",
        (
            "c.yaml:10: topics.metrics: {department} cannot be used with departments '*';"
            " a running connector creates no topics"
        ),
    ),
    (
        "backoff the wrong way round",
        "  token_file",
        "  backoff: {initial: 5s, maximum: 1s}\n  token_file",
        "c.yaml:4: source.backoff.maximum: is less than initial; raise it",
    ),
    (
        "more in-sync replicas than replicas",
        "kafka:9092",
        "kafka:9092\n  replication_factor: 1",
        "c.yaml:10: kafka.min_insync_replicas: is more than replication_factor (1); lower it",
    ),
    (
        "a setting in two places",
        "kafka:9092",
        "kafka:9092\n  properties: {ssl.ca.location: /a}\n  property_files: {ssl.ca.location: /a}",
        "c.yaml:13: kafka.property_files.ssl.ca.location: stands in kafka.properties too; remove one of the two",
    ),
    (
        "a file for what is no secret",
        "kafka:9092",
        "kafka:9092\n  property_files: {group.id: /a}",
        (
            "c.yaml:12: kafka.property_files.group.id: cannot be set by a file;"
            " property_files is for secrets such as sasl.password"
        ),
    ),
    (
        "a setting with a list",
        "kafka:9092",
        "kafka:9092\n  properties: {linger.ms: [1]}",
        "c.yaml:12: kafka.properties.linger.ms: must be text, a number, true or false",
    ),
    (
        "a name that is no setting",
        "kafka:9092",
        "kafka:9092\n  properties: {Linger MS: 1}",
        (
            "c.yaml:12: kafka.properties.Linger MS: is no setting of librdkafka;"
            " write it as in its CONFIGURATION.md, for example linger.ms"
        ),
    ),
    (
        "two kinds of registry credentials",
        '["https://registry:8081"]',
        '["https://registry:8081"]\n  basic: {username: me, password_file: /p}\n  token_file: /t',
        "c.yaml:15: registry.token_file: stands beside registry.basic; remove one of the two",
    ),
    (
        "OAuth over plain HTTP",
        "token_file: /run/secrets/token",
        "oauth: {client_id: a, client_secret_file: /s, token_url: 'http://x/t'}",
        ("c.yaml:4: source.oauth.token_url: is not encrypted; use https:// (plain http:// only to this machine)"),
    ),
    (
        "a port that is none",
        "wss://rtm.example/stream",
        "wss://rtm.example:port/stream",
        "c.yaml:3: source.url: is no URL; write it as scheme://host:port/path",
    ),
    (
        "URL with a blank",
        "wss://rtm.example/stream",
        "wss://rtm.example/a b",
        "c.yaml:3: source.url: contains blanks; write it as scheme://host:port/path",
    ),
    (
        "URL without a host",
        "wss://rtm.example/stream",
        "wss:///stream",
        "c.yaml:3: source.url: names no host; write it as scheme://host:port/path",
    ),
    (
        "empty department name",
        "[all, 5]",
        "['']",
        ("c.yaml:9: subscriptions[1].departments[0]: must not be empty; write a department's id, its name, all or '*'"),
    ),
    ("key twice", "account: acme", "account: acme\naccount: b", "c.yaml:2: account: stands twice; remove one"),
    ("a tab", "  url:", "\turl:", "c.yaml:3: not YAML: found character '\\t' that cannot start any token; correct it"),
    (
        "list for a section",
        "kafka:\n",
        "log: [1]\nkafka:\n",
        "c.yaml:10: log: must be a mapping; write it as key: value",
    ),
    (
        "text for a list",
        "[chats.missed_chats]",
        "chats.missed_chats",
        "c.yaml:6: subscriptions[0].metrics: must be a list; write it as [a, b]",
    ),
    ("a number as a key", "account: acme", "account: acme\n5: x", "c.yaml:2: 5: must be text; write the key in quotes"),
    (
        "a Python object",
        "account: acme",
        "account: !!python/object/apply:os.system [ls]",
        (
            "c.yaml:1: not YAML: could not determine a constructor for the tag"
            " 'tag:yaml.org,2002:python/object/apply:os.system'; correct it"
        ),
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_broken(tmp_path, old, new, expected):
    text = replaced(old, new)
    if old == "kafka:\n" and "batch" in new:
        text = re.sub(r"subscriptions:\n.*?batch", "subscriptions: []\nbatch", text, flags=re.DOTALL)
    assert error_of(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ZCK_SOURCE__ULR", "x", "environment ZCK_SOURCE__ULR: source.ulr: unknown key; did you mean url?"),
        (
            "ZCK_KAFKA__PARTITIONS",
            "many",
            "environment ZCK_KAFKA__PARTITIONS: kafka.partitions: must be a whole number",
        ),
        (
            "ZCK_ACCOUNT__NAME",
            "x",
            "environment ZCK_ACCOUNT__NAME: account.name: unknown key; no keys are known here, remove it",
        ),
        (
            "ZCK_SUBSCRIPTIONS",
            "[{metrics: [chats.nope]",
            "environment ZCK_SUBSCRIPTIONS:1: not YAML: expected ',' or '}', but got '<stream end>'; correct it",
        ),
        (
            "ZCK_KAFKA__PROPERTIES__SASL_PASSWORD",
            "hunter2",
            (
                "environment ZCK_KAFKA__PROPERTIES__SASL_PASSWORD: kafka.properties.sasl.password: is secret;"
                " write it to a file and name that in kafka.property_files.sasl.password"
            ),
        ),
    ],
)
def test_broken_environment(tmp_path, name, value, expected):
    assert error_of(tmp_path, GOOD, {name: value}) == expected


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing.yaml: no such file; write one with zendesk-chat-kafka config init"):
        load(tmp_path / "nothing.yaml", {})


def test_unreadable_files(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text; save it as UTF-8"):
        load(tmp_path / "a", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})
    assert error_of(tmp_path, "- a\n") == "c.yaml:1: must be a mapping of keys; see zendesk-chat-kafka config init"


def test_errors_never_show_values(tmp_path):
    """A secret that someone puts in a wrong place is not repeated."""
    for text in (
        replaced("token_file: /run/secrets/token", "token: canary-1"),
        replaced("wss://rtm.example/stream", "https://a:canary-1@x/"),
        replaced("kafka:9092", "kafka:9092\n  properties: {sasl.password: canary-1}"),
        replaced("token_file: /run/secrets/token", "token_file: [canary-1]"),
    ):
        assert "canary" not in error_of(tmp_path, text)


def test_environment_overrides_the_file(tmp_path):
    config = good(
        tmp_path,
        environ={
            "ZCK_SOURCE__PING_INTERVAL": "250ms",
            "ZCK_KAFKA__PROPERTIES__SECURITY_PROTOCOL": "SASL_SSL",
            "ZCK_KAFKA__PARTITIONS": "6",
            "ZCK_SUBSCRIPTIONS": "[{metrics: [chats.active_chats], departments: ['*']}]",
            "ZCK_CONFIG": "elsewhere.yaml",
            "OTHER": "x",
        },
    )
    assert config.source.ping_interval == 0.25
    assert config.kafka.partitions == 6
    assert config.kafka.properties == {"security.protocol": "SASL_SSL"}
    assert config.every_department


def test_environment_alone():
    values = yaml.safe_load(GOOD)
    environ = {
        "ZCK_ACCOUNT": "acme",
        "ZCK_SOURCE__TOKEN_FILE": "/t",
        "ZCK_SUBSCRIPTIONS": yaml.safe_dump(values["subscriptions"], default_flow_style=True),
        "ZCK_KAFKA__BOOTSTRAP_SERVERS": "kafka:9092",
        "ZCK_REGISTRY__URLS": "[https://registry]",
    }
    assert load(None, environ).registry.urls == ["https://registry"]
    with pytest.raises(ConfigError, match="environment: account: missing"):
        load(None, {})


def test_rest_url_follows_url(tmp_path):
    assert good(tmp_path).source.rest_url == "https://rtm.example/stream"
    plain = replaced("wss://rtm.example/stream", "ws://127.0.0.1:80/s\n  allow_plain_loopback: true")
    assert good(tmp_path, plain).source.rest_url == "http://127.0.0.1:80/s"


def test_series_are_expanded_once_and_sorted(tmp_path):
    config = good(
        tmp_path,
        replaced("[all, 5]", "[all, 5, Sales, '*']").replace("[30]", "[60, 30]"),
    )
    assert config.department_names == ("Sales",)
    series = config.series({"Sales": 9}, [5, 13388700431505])
    agents = [one for one in series if one.metric == "agents_away"]
    assert [one.department_id for one in agents] == [None, 5, 9, 13388700431505]
    assert series[-2:] == (Series("chats", "missed_chats", 30), Series("chats", "missed_chats", 60))
    assert len(series) == 3 * 4 + 2
    assert series == tuple(dict.fromkeys(series))


def test_wildcard_takes_windows_only_where_they_exist(tmp_path):
    config = good(tmp_path, replaced("chats.missed_chats", "chats.*").replace("[30]", "[30, 60]"))
    chats = [one for one in config.series() if one.family == "chats"]
    assert len(chats) == 9 + 3 * 2


def test_names(tmp_path):
    text = replaced("account: acme", "account: acme\ntopics: {metrics: '{prefix}.{family}', latest_enabled: false}")
    names = good(tmp_path, text).names
    assert names.metrics_all(good(tmp_path, text).series()) == ("zendesk.chat.agents", "zendesk.chat.chats")
    assert names.latest is None
    assert names.group == "zendesk.chat.acme"
    assert names.transactional_id(3) == "zendesk.chat.acme.3"


def test_frozen_and_free_of_secrets(tmp_path):
    config = good(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        config.account = "x"
    assert config.model_dump(mode="json")["source"]["token_file"] == "/run/secrets/token"


def test_connection_reads_secret_files(tmp_path):
    secret = tmp_path / "p"
    secret.write_text("hunter2\n")
    secret.chmod(0o600)
    text = replaced(
        "kafka:9092", f"kafka:9092\n  property_files: {{sasl.password: {secret}}}\n  properties: {{linger.ms: 5}}"
    )
    connection = good(tmp_path, text).kafka.connection()
    assert connection["sasl.password"] == "hunter2"
    assert connection["linger.ms"] == "5"
    assert connection["bootstrap.servers"] == "kafka:9092"


def test_read_secret(tmp_path, caplog):
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o640)
    assert read_secret(file, "source.token_file") == "s3cret"
    assert not caplog.records
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        read_secret(file, "source.token_file")
    assert caplog.messages == [f"source.token_file: {file} has mode 0644; run chmod 0640 {file}"]
    assert loose_mode(file, "x") is not None


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty; write the secret into it"),
        (b" \n", "is empty; write the secret into it"),
        (b"canary\r\nX-Header: 1\n", "has several lines or control characters; leave the secret alone in it"),
        (b"\xff", "is not UTF-8 text; write the secret as text"),
        (b"a" * 70_000, "is larger than 64 KiB; name the file that holds the secret alone"),
    ],
)
def test_bad_secrets(tmp_path, content, what):
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(stat.S_IRUSR)
    with pytest.raises(ConfigError) as caught:
        read_secret(file, "source.token_file")
    assert str(caught.value) == f"source.token_file: {file} {what}"


def test_missing_secret(tmp_path):
    with pytest.raises(ConfigError, match=r"source\.token_file: cannot read .*: No such file or directory"):
        read_secret(tmp_path / "nothing", "source.token_file")


def test_secret_of_several_lines(tmp_path):
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN\nx\n-----END\n")
    file.chmod(0o600)
    assert read_secret(file, "p", lines=True).count("\n") == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("250ms", 0.25), ("2m", 120), (3, 3), ("1.5", 1.5), ("12h", 43200), ("7d", 604800)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(("text", "size"), [("64KiB", 65536), ("1MB", 1_000_000), (1500, 1500), ("8MiB", 8 * 2**20)])
def test_sizes(text, size):
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(("text", "rate"), [("200/s", 200), (5, 5), ("0.5", 0.5)])
def test_rates(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "s", "-1s", "1e3", "5 weeks", True, None, "٣s", "1\n2"])
def test_no_quantities(text):
    for parse in (parse_duration, parse_size, parse_rate):
        with pytest.raises(ValueError, match="must be"):
            parse(text)


def test_every_key_is_described():
    def walk(schema, definitions):
        for name, field in schema.get("properties", {}).items():
            assert "description" in field, name
        for definition in definitions.values():
            walk(definition, {})

    schema = Config.model_json_schema()
    walk(schema, schema["$defs"])


def test_the_log_level_needs_no_restart_and_other_settings_do(tmp_path):
    old = good(tmp_path)
    log = old.log.model_copy(update={"level": "debug", "format": "text"})
    source = old.source.model_copy(update={"subscribe_rate": 7})
    new = old.model_copy(update={"log": log, "source": source, "collapse_repeats": True})
    assert needs_restart(old, new) == ["collapse_repeats", "log.format", "source.subscribe_rate"]
    assert needs_restart(old, old) == []


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "a: &x {b: 1, c: [2, 'three']}\nd:\n  <<: *x\n  e: 1.5\n\nf: |\n  text\n",
        "",
        "a: 1\na: 2",
        "1: 2",
        "- 1",
        "a: [",
        "a: *b",
        "a:\n\t- 1",
        "a: \0",
        "- " * 300_000,
        "[\n" * 300_000,
    ],
)
def test_libyaml_reads_a_file_like_the_loader_that_explains(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, places and refusals are the same; what is nested without end is refused, not a crash."""

    def read() -> object:
        try:
            data, noted = places.parse(text, "file")
        except ConfigError as error:
            return str(error).replace(" while calling a Python object", "")
        return data, {path: noted.at(path) for path in [("a",), ("a", "c", 1), ("d", "e"), ("f",), ("kafka",)]}

    assert places.FAST is not None
    fast = read()
    monkeypatch.setattr(places, "FAST", None)
    assert fast == read()

"""The documented permissions are enough, and each of them is needed: proven on a broker with an authorizer."""

import asyncio
import re
import uuid
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic
from secured import ADMIN, ADMIN_PASSWORD, User

from connector.adapters.admin import Admin, topics_of
from connector.adapters.group import Group
from connector.adapters.kafka import TransactionalSink
from connector.adapters.permissions import Grant, grants_of, principal_of, provision_grants
from connector.adapters.recovery import Recovery
from connector.adapters.survey import Survey
from connector.cli.preflight import promise, refuse_start
from connector.cli.preflight_kafka import kafka_findings
from connector.config import Config
from connector.domain.model import Record
from connector.errors import ConnectorError, SinkRejected

ROOT = Path(__file__).resolve().parent.parent.parent


def config_of(prefix, kafka=None, **more):
    return Config.model_validate(
        {
            "account": "acme",
            "guarantee": "best-effort",
            "source": {"token_file": "/t"},
            "subscriptions": [{"metrics": ["agents.*"]}],
            "topics": {"prefix": prefix},
            "kafka": {
                "bootstrap_servers": "localhost",
                "partitions": 2,
                "replication_factor": 1,
                "min_insync_replicas": 1,
                **(kafka or {}),
            },
            "registry": {"urls": ["http://localhost"]},
            **more,
        }
    )


def name_of(grant):
    return f"{grant.kind}-{grant.name.removeprefix('p.')}-{grant.operation}"


GRANTS = grants_of(config_of("p"), config_of("p").metrics_topics())
NEEDED = [grant for grant in GRANTS if grant.needed]
PROVISIONING = provision_grants(config_of("p"), config_of("p").metrics_topics())


@pytest.fixture(scope="module")
def deployment(secured):
    """Makes users with certain grants on the topics of one deployment; their configuration."""
    prefix = f"a{uuid.uuid4().hex[:8]}"
    wanted = topics_of(config_of(prefix), config_of(prefix).metrics_topics())
    new = [NewTopic(one.name, one.partitions, 1, config={**one.settings, "min.insync.replicas": "1"}) for one in wanted]
    for future in secured.admin.create_topics(new).values():
        future.result(20)
    folder = Path(secured.ca).parent

    def make(grants):
        user = secured.user()
        secured.grant(user, [one._replace(name=prefix + one.name.removeprefix("p")) for one in grants])
        password = folder / f"{user.name}.password"
        password.write_text(user.password)
        password.chmod(0o600)
        kafka = {
            "bootstrap_servers": secured.bootstrap,
            "properties": secured.properties(user),
            "property_files": {"sasl.password": str(password)},
        }
        return config_of(prefix, kafka)

    return make


def findings(config, *, probe=True):
    return kafka_findings(config, config.metrics_topics(), probe=probe)


def failures(config):
    return [one for one in findings(config) if one.state == "fail"]


# What check and the start of run say.


def test_check_is_content_with_exactly_these(deployment):
    found = findings(deployment(GRANTS))
    assert [one for one in found if one.state == "fail"] == []
    assert {"permissions", "topics", "commits"} <= {one.subject for one in found if one.state == "pass"}
    assert promise(config_of("p"), found)[0] == "best-effort"


@pytest.mark.parametrize("without", NEEDED, ids=name_of)
def test_check_names_the_one_that_is_missing(deployment, without):
    config = deployment([one for one in GRANTS if one != without])
    said = [one for one in failures(config) if one.subject == "permissions"]
    assert len(said) == 1, said
    name = config.topics.prefix + without.name.removeprefix("p")
    principal = principal_of(config.kafka)
    assert said[0].text.startswith(f"{principal} lacks {without.operation} on {without.kind} {name} (")
    assert said[0].remedy == without._replace(name=name).command(principal)
    assert said[0].exit_code == SinkRejected.exit_code
    if without.kind != "transactional-id":
        with pytest.raises(SinkRejected, match=f"lacks {without.operation} on {without.kind} {re.escape(name)}"):
            refuse_start(findings(config, probe=False))


def test_without_write_on_control_only_the_commit_time_is_unknown(deployment):
    found = findings(deployment(NEEDED))
    assert [one for one in found if one.state == "fail"] == []
    (warning,) = (one for one in found if one.state == "warn" and one.subject == "permissions")
    assert "lacks Write on topic" in warning.text


def test_nothing_granted_at_all(deployment):
    """Kafka does not even tell whether the topics exist."""
    said = failures(deployment([]))
    assert {one.subject for one in said} == {"permissions"}
    assert len(said) == len(NEEDED)


# What the connector itself needs.


def encode(_value):
    return b"x"


async def publish_everything(config):
    """All that `run` does in Kafka: joins, fences, reads back with nothing known, writes to every topic."""
    names, metrics = config.names, config.metrics_topics()
    kafka = {**config.kafka.connection(), "log_level": 0}
    Admin(config.kafka, strict=False).inspect(topics_of(config, metrics))
    group = Group(kafka, group=names.group, control=names.control, session_timeout=6.0, release=1.0)
    group.start()
    try:
        async with asyncio.timeout(30):
            while not group.joined and group.error is None:
                await group.changed.wait()
                group.changed.clear()
            # The first fetch comes after the assignment, and so does its refusal.
            await asyncio.sleep(0.7)
        if group.error is not None:
            raise group.error
    finally:
        await group.close()
    recovery = Eager(
        kafka,
        lambda _: {"account": "another"},
        account="acme",
        topics=names,
        metrics=metrics,
        shard=0,
        shards=1,
        partitions=2,
        underway=10.0,
        timeout=20.0,
    )
    transactional_id = {"transactional.id": names.transactional_id(0)}
    sink = TransactionalSink(
        {**kafka, **transactional_id}, {"s": encode}, recovery, transaction_timeout=15.0, slow_commit=5.0
    )
    try:
        await sink.acquire()
        written = (*metrics, names.latest, names.gaps, names.dead_letters, names.heartbeats, names.offsets)
        for _ in range(2):
            await sink.commit(lambda _: [Record(name, 0, b"k", "s", {}, 1, None) for name in written])
            await sink.acquire()
    finally:
        await sink.close()


class Eager(Recovery):
    """Reads all that a recovery may have to read, whatever is there."""

    def read(self):
        known = super().read()
        with self._make_scan(self._properties, name=self._topics.group, timeout=self._timeout) as scan:
            rebuild = self._rebuild(scan)
            rebuild._updates(had_past=True)
            list(rebuild._gaps())
            rebuild._newest_beat()
        return known


def test_the_connector_works_with_what_it_needs(deployment):
    asyncio.run(publish_everything(deployment(NEEDED)))


@pytest.mark.parametrize("without", NEEDED, ids=name_of)
def test_the_connector_fails_without_any_of_them(deployment, without):
    config = deployment([one for one in NEEDED if one != without])
    with pytest.raises((ConnectorError, KafkaException)) as raised:
        asyncio.run(publish_everything(config))
    assert "authoriz" in str(raised.value).lower()
    assert isinstance(raised.value, SinkRejected), raised.value


# Negative controls: the refusals come from what is not granted, and from nothing else.


def test_control_the_same_user_is_refused_until_the_one_grant_is_there(secured, deployment):
    left_out = next(one for one in NEEDED if (one.operation, one.name) == ("Write", "p.acme.offsets"))
    config = deployment([one for one in NEEDED if one != left_out])
    user = User(config.kafka.properties["sasl.username"], "")
    grant = left_out._replace(name=config.topics.prefix + left_out.name.removeprefix("p"))
    with pytest.raises(SinkRejected, match="authoriz"):
        asyncio.run(publish_everything(config))
    secured.grant(user, [grant])
    asyncio.run(publish_everything(config))
    secured.revoke(user, grant)
    with pytest.raises(SinkRejected, match="authoriz"):
        asyncio.run(publish_everything(config))


def test_control_who_needs_no_grant_is_refused_nothing(deployment, secured):
    """The administrator, whom the authorizer asks nothing, gets through the same steps without any grant."""
    config = deployment([])
    config.kafka.property_files["sasl.password"].write_text(ADMIN_PASSWORD)
    properties = secured.properties(User(ADMIN, ADMIN_PASSWORD), "PLAIN")
    config = config.model_copy(update={"kafka": config.kafka.model_copy(update={"properties": properties})})
    asyncio.run(publish_everything(config))
    assert failures(config) == []


# provision.


def provisioned(secured, without=None):
    prefix = f"b{uuid.uuid4().hex[:8]}"
    config = config_of(prefix)
    user = secured.user()
    grants = provision_grants(config, config.metrics_topics())
    secured.grant(user, [one for number, one in enumerate(grants) if number != without])
    secret = Path(secured.ca).parent / f"{user.name}.password"
    secret.write_text(user.password)
    secret.chmod(0o600)
    kafka = {
        "bootstrap_servers": secured.bootstrap,
        "properties": secured.properties(user),
        "property_files": {"sasl.password": str(secret)},
    }
    config = config_of(prefix, kafka)
    topics = topics_of(config, config.metrics_topics())
    for _ in range(2):
        found = Admin(config.kafka, strict=False).provision(topics)
    return {one.action for one in found}


def test_provision_works_with_what_it_needs(secured):
    assert provisioned(secured) == {"unchanged"}


@pytest.mark.parametrize("number", range(len(PROVISIONING)), ids=lambda number: name_of(PROVISIONING[number]))
def test_provision_fails_without_any_of_them(secured, number):
    with pytest.raises(SinkRejected, match=r"AUTHORIZATION_FAILED.*grant it to this principal"):
        provisioned(secured, without=number)


# What else a broker may say.


def test_a_wrong_password_is_named(secured, deployment):
    config = deployment(GRANTS)
    file = config.kafka.property_files["sasl.password"]
    file.write_text("canary-wrong-password")
    (only,) = findings(config)
    assert (only.state, only.subject, only.exit_code) == ("fail", "kafka", 4)
    assert "uthentication failed" in only.text
    assert "canary" not in only.text + only.remedy
    assert "kafka.property_files" in only.remedy


def test_an_unknown_authority_is_named(deployment, tmp_path):
    config = deployment(GRANTS)
    properties = {name: one for name, one in config.kafka.properties.items() if name != "ssl.ca.location"}
    config = config.model_copy(update={"kafka": config.kafka.model_copy(update={"properties": properties})})
    (only,) = findings(config)
    assert (only.state, only.subject) == ("fail", "kafka")
    assert "certificate" in only.text


def test_strict_refuses_one_copy(deployment):
    config = deployment(GRANTS)
    kafka = config.kafka.model_copy(update={"min_insync_replicas": 2, "replication_factor": 3})
    config = config.model_copy(update={"guarantee": "strict", "kafka": kafka})
    found = findings(config, probe=False)
    weak = [one for one in found if one.weakens]
    assert weak
    assert {one.state for one in weak} == {"fail"}
    assert any("replication factor 1, below 3" in one.text for one in weak)
    with pytest.raises(SinkRejected):
        refuse_start(found)


def test_survey_tells_what_is_there(secured):
    survey = Survey({"bootstrap.servers": secured.bootstrap, **secured.properties(secured.user())} | admin_of(secured))
    seen = survey.topics(["nothing-here", "__transaction_state"])
    assert seen["nothing-here"].exists is False
    assert seen["__transaction_state"].replicas == 1
    assert seen["__transaction_state"].settings["min.insync.replicas"] == "1"


def admin_of(secured):
    return secured.connection(User(ADMIN, ADMIN_PASSWORD), "PLAIN")


# The documentation.


def rows(text, heading):
    section = text.split(heading, 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    return {
        (kind, name, operation)
        for kind, name, operations, *_ in [(c[1], c[0], c[2]) for c in cells]
        for operation in operations.split(", ")
    }


def shown(grants):
    return {(one.kind, one.name + ("*" if one.pattern == "prefixed" else ""), one.operation) for one in grants}


def test_the_documented_lists_are_these():
    text = (ROOT / "docs" / "security.md").read_text()
    config = config_of("zendesk.chat")
    metrics = config.metrics_topics()
    needed = [one for one in grants_of(config, metrics) if one.needed]
    assert rows(text, "### What `run` needs") == shown(needed)
    assert rows(text, "### What `provision` needs") == shown(provision_grants(config, metrics))


def test_the_command_of_a_grant():
    literal = Grant("topic", "t", "Read", "why")
    assert literal.command("User:x") == "kafka-acls --add --allow-principal User:x --operation Read --topic t"
    prefixed = Grant("transactional-id", "p.", "Write", "why", "prefixed")
    assert prefixed.command("User:x").endswith("--transactional-id p. --resource-pattern-type prefixed")


def test_who_we_are():
    assert principal_of(config_of("p").kafka) == "User:ANONYMOUS"
    secure = config_of("p", {"properties": {"security.protocol": "SASL_SSL", "sasl.username": "me"}})
    assert principal_of(secure.kafka) == "User:me"
    assert "certificate" in principal_of(config_of("p", {"properties": {"security.protocol": "SSL"}}).kafka)

"""What the chart renders. The numbers are those of the acceptance checks in helm/README.md."""

from __future__ import annotations

import copy
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import yaml
from chart import generate
from chart.render import (
    CASES,
    CHART,
    CUSTOM,
    MINIMAL,
    MINORS,
    RELEASED,
    canonical,
    chart,
    containers,
    documents,
    engine,
    helm_run,
    invalid,
    notes,
    one,
    pod_specs,
    rendered,
    template,
    values_of,
)

from connector.adapters.admin import topics_of
from connector.config import load

GOLDEN = Path(__file__).parent / "golden"
IDS = [case.name.removesuffix("-values.yaml") for case in CASES]
MAJORS = (3, 4)


def minimal(**changes):
    return {**values_of(MINIMAL), **changes}


def refused(values, name="rel"):
    """The message with which these values are refused."""
    import helm_python

    with pytest.raises(helm_python.HelmError) as caught:
        engine(values, name)
    return str(caught.value)


# 1


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_01_lint(case, major):
    assert lint(case, major) == ""


def lint(case, major, which=CHART):
    """What `helm lint` has against the chart."""
    done = helm_run("lint", which, "--strict", "-f", case, major=major)
    said = done.output + done.error
    return "" if done.code == 0 and "0 chart(s) failed" in said and "[WARNING]" not in said else said


# 2


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("relicas=3", "relicas"),
        ("config.kafka.bootstrapServer=x", "bootstrapServer"),
        ("probes.readines.x=1", "readines"),
        ("config.instance=x", "instance"),
        ("config.guarantee=demo", "guarantee"),
        ("service=null", "service"),
        ("monitoring.podMonitor.labels.app\\.kubernetes\\.io/name=x", "app.kubernetes.io/name"),
    ],
)
def test_02_unknown_and_missing_values_are_refused(setting, named, major):
    done = template("--set", setting, major=major)
    assert done.code != 0
    assert named in done.error


@pytest.mark.parametrize("major", MAJORS)
def test_02_what_parent_charts_inject_is_accepted(major):
    assert template("--set", "global.cattle.x=1", "--set", "enabled=true", major=major).code == 0


# 3


def test_03_readme_and_schema_are_generated():
    assert stale() == [], "run make chart"


def stale():
    """Names of generated files that are out of date."""
    return [path.name for path, text in generate.made().items() if path.read_text() != text]


def test_03_every_value_is_described():
    assert undescribed(yaml.safe_load((CHART / "values.schema.json").read_text())) == []


def undescribed(schema):
    return [".".join(path) for path, part in leaves(schema) if not part.get("description")]


def leaves(schema, path=()):
    for name, part in schema["properties"].items():
        if path == () and name == "config":
            continue
        if "properties" in part and name != "resources":
            yield from leaves(part, (*path, name))
        else:
            yield (*path, name), part


RICH = {
    **values_of(CHART / "ci" / "full-monitoring-values.yaml"),
    "replicas": 3,
    "persistence": {"enabled": True},
    "podDisruptionBudget": {"enabled": True},
    "secrets": {
        "source": {"existingSecret": "a"},
        "http": {"existingSecret": "a"},
        "kafka": {"existingSecret": "a"},
        "kafkaTls": {"existingSecret": "a"},
        "schemaRegistry": {"existingSecret": "a", "keys": {"password": "", "token": "token"}},
    },
    "provision": {
        "kafka": {"existingSecret": "b"},
        "schemaRegistry": {"existingSecret": "b", "keys": {"password": "", "token": "token"}},
    },
}
HOOK = {**RICH, "provision": {**RICH["provision"], "mode": "hook"}}
STRIMZI = {**RICH, "provision": {**RICH["provision"], "mode": "strimzi", "strimzi": {"cluster": "main"}}}
PLAIN = {**values_of(MINIMAL)}
OAUTH = {**values_of(CHART / "ci" / "hook-values.yaml")}
SASL = {**values_of(CHART / "ci" / "sasl-tls-values.yaml")}
BASES = (RICH, PLAIN, HOOK, STRIMZI, OAUTH, SASL)
OTHER = {
    "existingConfigMap": "x",
    "config": {"account": "other"},
    "replicas": 4,
    "image.digest": "sha256:" + "0" * 64,
    "image.pullPolicy": "Always",
    "secrets.reload": "rollout",
    "provision.mode": "none",
    "persistence.size": "6Gi",
    "persistence.accessModes": ["ReadWriteMany"],
    "persistence.retention.whenDeleted": "Delete",
    "persistence.retention.whenScaled": "Delete",
    "http.host": "::",
    "service.type": "NodePort",
    "podDisruptionBudget.maxUnavailable": 2,
    "podDisruptionBudget.minAvailable": 1,
    "monitoring.podMonitor.interval": "10s",
    "monitoring.podMonitor.scrapeTimeout": "5s",
    "monitoring.prometheusRule.runbookBase": "https://example.com",
    "monitoring.prometheusRule.exclude": ["ZendeskChatGone"],
    "monitoring.prometheusRule.overrides": {"ZendeskChatGone": {"for": "1h"}},
    "networkPolicy.enabled": False,
    "topologySpreadConstraints": [],
    "imagePullSecrets": [{"name": "x"}],
    "accessModes": ["ReadWriteMany"],
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}],
    "extraEnv": [{"name": "X", "value": "y"}],
    "initContainers": [{"name": "x", "image": "y"}],
    "extraContainers": [{"name": "x", "image": "y"}],
}
WITHOUT_EFFECT = {
    "global": "read by parent charts only",
    "enabled": "the condition of a parent chart",
}


def other_value(path, value):
    known = OTHER.get(".".join(path))
    if known is not None:
        return known
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, dict):
        return {**value, "x": "y"} if path[-1] != "resources" else {"limits": {"memory": "1Gi"}}
    if isinstance(value, list):
        return [*value, {"name": "x"}]
    return "other" if not value else value + "-other"


def put(values, path, value):
    changed = copy.deepcopy(values)
    at = changed
    for part in path[:-1]:
        at = at.setdefault(part, {})
    at[path[-1]] = value
    return changed


def test_03_every_value_changes_the_render():
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    found = idle([path for path, _ in leaves(schema)], chart())
    assert set(found) == WITHOUT_EFFECT.keys(), "\n".join(found)


def idle(paths, which):
    """The values of these whose change changes nothing that the chart renders."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    found = []
    for path in paths:
        value = defaults
        for part in path:
            value = value.get(part) if value else None
        if not any(differs(number, path, other_value(path, value), which) for number in range(len(BASES))):
            found.append(".".join(path))
    return found


@cache
def base_render(number, which):
    return files_of(BASES[number], which)


def files_of(values, which):
    """What is rendered, as text: but for the notes."""
    files = which.render(values, name="rel", namespace="ns")
    return {path: text for path, text in files.items() if path.endswith(".yaml")}


def differs(number, path, value, which):
    import helm_python

    changed = put(BASES[number], path, value)
    if path[-1] == "minAvailable":
        changed = put(changed, (*path[:-1], "maxUnavailable"), None)
    if path == ("existingConfigMap",):
        changed["config"] = {}
    try:
        return files_of(changed, which) != base_render(number, which)
    except helm_python.HelmError:
        return False


# 4 and 5


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_04_05_every_version_renders_the_same_and_is_valid(case):
    results = of_every_version(case)
    assert unlike_golden(case, results) == [], "look at the difference, then make chart"
    for minor in MINORS:
        assert [text for document in results[3, minor] if (text := invalid(document, minor))] == [], minor


def of_every_version(case, which=CHART, minors=MINORS):
    """(major of Helm, minor of Kubernetes) -> what it renders."""
    runs = list(product(MAJORS, minors))
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda run: rendered("--kube-version", run[1], values=case, major=run[0], chart=which), runs)
        return dict(zip(runs, results, strict=True))


def unlike_golden(case, results):
    """The versions that render something else than the golden file has."""
    golden = (GOLDEN / f"{case.name.removesuffix('-values.yaml')}.json").read_text().rstrip("\n")
    return [run for run, found in results.items() if canonical(found) != golden]


def test_05_06_a_typo_fails_the_gate():
    found = rendered(values=CHART / "ci" / "full-monitoring-values.yaml")
    deployment = one(found, "Deployment")
    deployment["spec"]["replica"] = 2
    assert "replica" in invalid(deployment, "1.37")
    monitor = one(found, "PodMonitor")
    monitor["spec"]["podMetricsEndpoints"][0]["intervall"] = "1s"
    assert "intervall" in invalid(monitor, "1.37")
    rule = one(found, "PrometheusRule")
    rule["spec"]["groups"][0]["rules"][0]["fors"] = "1m"
    assert "fors" in invalid(rule, "1.37")
    topic = rendered(values=CHART / "ci" / "strimzi-values.yaml")
    topic = next(document for document in topic if document["kind"] == "KafkaTopic")
    topic["spec"]["partition"] = 1
    assert "partition" in invalid(topic, "1.37")


def test_06_every_custom_resource_has_a_schema():
    found = [document for case in CASES for document in engine(values_of(case))]
    kinds = {document["kind"] for document in found if "." in document["apiVersion"].partition("/")[0]}
    assert kinds - {"NetworkPolicy"} == CUSTOM


# 9


@pytest.mark.parametrize("name", ["123", "y", "on", "1e3", "null", "a" * 53, "a" * 30 + "-zendesk-chat-kafka"])
@pytest.mark.parametrize("case", ["full-monitoring", "statefulset", "hook", "strimzi"])
def test_09_hostile_names(name, case):
    found = rendered(values=CHART / "ci" / f"{case}-values.yaml", name=name)
    assert misnamed(found) == []
    assert [text for document in found if (text := invalid(document, "1.37"))] == []


def misnamed(found):
    """(kind, name, label or annotation) of names that Kubernetes refuses, or YAML reads as something else."""
    wrong = []
    for document in found:
        kind, name = document["kind"], document["metadata"]["name"]
        longest = 52 if kind in ("StatefulSet", "Deployment") else 63
        fits = isinstance(name, str) and re.fullmatch(r"[a-z]([-a-z0-9.]{0,61}[a-z0-9])?", name)
        wrong += [] if fits and len(name) <= longest else [(kind, name)]
        wrong += [(kind, text) for text in texts(document) if not isinstance(text, str)]
    return wrong


def texts(document):
    """Every label, annotation and selector, wherever it is."""
    if isinstance(document, list):
        for part in document:
            yield from texts(part)
    if isinstance(document, dict):
        for key, part in document.items():
            if key in ("labels", "annotations", "matchLabels", "nodeSelector") and isinstance(part, dict):
                yield from part
                yield from part.values()
            else:
                yield from texts(part)


def test_09_long_overrides_leave_room_for_suffixes():
    case = CHART / "ci" / "hostile-names-values.yaml"
    found = rendered(values=case, name="y")
    name = one(found, "Deployment")["metadata"]["name"]
    # Cut off, and told apart from others that are cut off by a hash of the whole.
    whole = values_of(case)["fullnameOverride"]
    assert name == f"{whole[:43]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
    assert one(found, "ConfigMap", "-config")["metadata"]["name"] == f"{name}-config"
    for document in found:
        assert all(isinstance(text, str) for text in texts(document))
    config = yaml.safe_load(one(found, "ConfigMap", "-config")["data"]["config.yaml"])
    assert config["account"] == "123"
    assert config["subscriptions"][0]["departments"] == ["null", 99999999999999]


# 10 and 11


def test_10_11_no_secret_is_ever_rendered():
    for case in CASES:
        assert not any(document["kind"] == "Secret" for document in engine(values_of(case)))


@pytest.mark.parametrize(
    "config",
    [
        {"kafka": {"properties": {"sasl.password": "canary"}}},
        {"kafka": {"properties": {"ssl.key.pem": "canary"}}},
        {"kafka": {"properties": {"sasl.oauthbearer.client.secret": "canary"}}},
        {"registry": {"urls": ["https://user:canary@registry"]}},
        {"registry": {"basic": {"username": "u", "password": "canary"}}},
        {"source": {"url": "wss://user:canary@host/stream"}},
        {"source": {"rest_url": "https://host/stream?token=canary"}},
        {"source": {"departments_url": "https://canary@host/"}},
        {"source": {"oauth": {"client_id": "1", "token_url": "https://user:canary@host/"}}},
        {"source": {"token": "canary"}},
        {"http": {"token": "canary"}},
    ],
    ids=str,
)
def test_10_an_inline_password_is_refused_and_not_repeated(config):
    values = minimal()
    for section, content in config.items():
        values["config"].setdefault(section, {}).update(content)
    assert "canary" not in refused(values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZCK_KAFKA__PROPERTIES__SASL_PASSWORD", "canary"),
        ("ZCK_KAFKA__PROPERTIES__SSL_KEY_PEM", "canary"),
        ("ZCK_REGISTRY__BASIC__PASSWORD", "canary"),
        ("aws_secret_access_token", "canary"),
        ("HTTPS_PROXY", "http://user:canary@proxy:3128"),
    ],
)
def test_10_a_password_in_the_environment_is_refused_and_not_repeated(name, value):
    message = refused(minimal(extraEnv=[{"name": name, "value": value}]))
    assert name in message
    assert "canary" not in message
    from_secret = {"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    assert engine(minimal(extraEnv=[from_secret, {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]))


def test_11_secrets_are_files_with_remapped_keys():
    found = engine(values_of(CHART / "ci" / "sasl-tls-values.yaml"))
    spec = one(found, "Deployment")["spec"]["template"]["spec"]
    run, provision = spec["containers"][0], spec["initContainers"][0]
    root = "/etc/zendesk-chat-kafka/secrets"
    assert files(run) == {
        "ZCK_SOURCE__TOKEN_FILE": f"{root}/source/access-token",
        "ZCK_SOURCE__CA_FILE": f"{root}/source/proxy-ca.pem",
        "ZCK_HTTP__TOKEN_FILE": f"{root}/http/password",
        "ZCK_KAFKA__PROPERTY_FILES__SASL_USERNAME": f"{root}/kafka/user",
        "ZCK_KAFKA__PROPERTY_FILES__SASL_PASSWORD": f"{root}/kafka/password",
        "ZCK_KAFKA__PROPERTY_FILES__SSL_CA_PEM": f"{root}/kafka-tls/ca.crt",
        "ZCK_REGISTRY__BASIC__PASSWORD_FILE": f"{root}/registry/password",
        "ZCK_REGISTRY__CA_FILE": f"{root}/registry/ca.crt",
    }
    own = files(provision)
    assert own["ZCK_KAFKA__PROPERTY_FILES__SASL_PASSWORD"] == f"{root}/provision-kafka/password"
    assert own["ZCK_REGISTRY__BASIC__PASSWORD_FILE"] == f"{root}/provision-registry/password"
    assert "secret-provision-kafka" not in {mount["name"] for mount in run["volumeMounts"]}
    for volume in spec["volumes"]:
        assert volume.get("secret", {}).get("defaultMode", 0o440) <= 0o440
    for container in containers(spec):
        assert "subPath" not in str(container)
        assert "secretKeyRef" not in str(container)


def files(container):
    return {one["name"]: one["value"] for one in container["env"] if "FILE" in one["name"]}


def test_11_every_mounted_file_is_configured_and_the_other_way_round():
    for case in CASES:
        for _, spec in pod_specs(engine(values_of(case))):
            offered = {
                f"/etc/zendesk-chat-kafka/secrets/{volume['name'].removeprefix('secret-')}/{item['path']}"
                for volume in spec["volumes"]
                if "secret" in volume
                for item in volume["secret"]["items"]
            }
            ours = [one for one in containers(spec) if one["name"].startswith("zendesk-chat-kafka")]
            assert {path for one in ours for path in files(one).values()} == offered


# 12


def checksum(*arguments, values=MINIMAL):
    pod = one(rendered(*arguments, values=values), "Deployment")["spec"]["template"]
    return canonical([{"kind": "", "metadata": {"name": ""}, "pod": pod}])


def test_12_only_the_configuration_rolls_the_pods():
    before = checksum()
    assert checksum("--set", "config.log.level=debug") != before
    for same in (
        "service.annotations.a=b",
        "monitoring.podMonitor.labels.a=b",
        "replicas=5",
        "podDisruptionBudget.enabled=false",
        "commonLabels.a=b",
        "workloadAnnotations.a=b",
        "monitoring.prometheusRule.enabled=true",
    ):
        assert checksum("--set", same) == before, same


# 13


def test_13_a_new_version_keeps_what_cannot_change(tmp_path):
    import shutil

    newer = tmp_path / "zendesk-chat-kafka"
    shutil.copytree(CHART, newer)
    text = (newer / "Chart.yaml").read_text()
    (newer / "Chart.yaml").write_text(text.replace("0.1.0", "0.2.0"))
    case = CHART / "ci" / "statefulset-values.yaml"
    old, new = rendered(values=case), rendered(values=case, chart=newer)
    for key in ("selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy"):
        assert one(old, "StatefulSet")["spec"][key] == one(new, "StatefulSet")["spec"][key]
    assert canonical(old) == canonical(new).replace("0.2.0", "0.1.0")


@pytest.mark.parametrize("package", RELEASED, ids=lambda path: path.stem)
def test_13_a_released_chart_had_the_same_of_what_cannot_change(package):
    case = CHART / "ci" / "statefulset-values.yaml"
    old, new = (one(rendered(values=case, chart=which), "StatefulSet")["spec"] for which in (package, CHART))
    for key in ("selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy"):
        assert old[key] == new[key]


def test_13_there_is_a_released_chart():
    assert RELEASED


def test_13_claims_and_selectors_carry_no_common_labels():
    found = engine(minimal(persistence={"enabled": True}, commonLabels={"team": "x"}))
    spec = one(found, "StatefulSet")["spec"]
    assert "labels" not in spec["volumeClaimTemplates"][0]["metadata"]
    assert "team" not in spec["selector"]["matchLabels"]


# 14


def test_14_replicas():
    assert "replicas" not in one(engine(minimal(replicas=None)), "Deployment")["spec"]
    assert any(document["kind"] == "PodDisruptionBudget" for document in engine(minimal(replicas=None)))
    assert not any(document["kind"] == "PodDisruptionBudget" for document in engine(minimal(replicas=1)))
    assert "replicas is below 2" in notes(minimal(replicas=1))
    assert "replicas is below 2" not in notes(minimal(replicas=2))


def test_14_one_replica_has_no_alert_about_standbys():
    names = {rule["alert"] for rule in alerts(minimal(replicas=1, monitoring={"prometheusRule": {"enabled": True}}))}
    assert "ZendeskChatNoStandby" not in names
    names = {rule["alert"] for rule in alerts(minimal(monitoring={"prometheusRule": {"enabled": True}}))}
    assert "ZendeskChatNoStandby" in names


def alerts(values):
    return one(engine(values), "PrometheusRule")["spec"]["groups"][0]["rules"]


# 15


def test_15_all_mistakes_in_one_message():
    message = refused(
        {
            "config": {
                "account": "a",
                "source": {"token_file": "/x", "oauth": {"client_id": "1"}},
                "kafka": {"properties": {"security.protocol": "SASL_SSL"}},
                "buffer": {"disk": {}, "max_updates": 1},
            },
            "existingConfigMap": "x",
            "secrets": {"schemaRegistry": {"existingSecret": "r", "keys": {"token": "t"}}},
            "provision": {"mode": "strimzi"},
            "shutdown": {"drainSeconds": 30, "terminationGracePeriodSeconds": 34},
            "podDisruptionBudget": {"minAvailable": 1},
            "image": {"digest": "sha256:123"},
            "networkPolicy": {"enabled": True},
            "extraEnv": [{"name": "ZCK_HTTP__PORT", "value": "1"}],
        }
    )
    for part in (
        "config stands beside existingConfigMap",
        "secrets.schemaRegistry.keys names password and token",
        "provision.mode strimzi needs config",
        "provision.strimzi.cluster is missing",
        "terminationGracePeriodSeconds: 34 is less than drainSeconds + 5; set 35 or more",
        "podDisruptionBudget needs one of",
        'image.digest: "sha256:123" is no digest',
        "networkPolicy.kafka is empty",
        "networkPolicy.registry is empty",
        "extraEnv ZCK_HTTP__PORT is set by the chart",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"secrets": {"http": {"existingSecret": "a"}}}, "secrets.source.existingSecret is missing"),
        ({"secrets": {"source": {"existingSecret": "a"}}}, "secrets.http.existingSecret is missing"),
        ({"shutdown": {"drainSeconds": 26}}, "set 31 or more"),
        ({"podDisruptionBudget": {"maxUnavailable": None, "minAvailable": 2}}, "would block every drain"),
        ({"podDisruptionBudget": {"maxUnavailable": None}}, "podDisruptionBudget needs one of"),
    ],
    ids=str,
)
def test_15_each_guard_alone(change, text):
    assert text in refused(minimal(**change))


@pytest.mark.parametrize(
    ("section", "content", "text"),
    [
        ("kafka", {"properties": {"security.protocol": "sasl_plaintext"}}, "asks for SASL_PLAINTEXT"),
        ("source", {"token_file": "/x"}, "config.source names a file with a credential"),
        ("source", {"oauth": {"client_id": "1"}}, "config.source.oauth stands beside"),
        ("http", {"allow_unauthenticated": True}, "config.http names another access"),
        ("buffer", {"disk": {"max_updates": 1}}, "config.buffer.disk needs a volume"),
    ],
)
def test_15_each_guard_of_the_configuration(section, content, text):
    values = minimal()
    values["config"].setdefault(section, {}).update(content)
    assert text in refused(values)


def test_15_hook_with_a_config_map_of_somebody_else():
    values = {"existingConfigMap": "x", "provision": {"mode": "hook"}, "secrets": minimal()["secrets"]}
    assert "provision.mode hook needs config" in refused(values)


def test_the_monitor_sends_the_token_beside_a_config_map_of_somebody_else():
    values = {**minimal(), "config": {}, "existingConfigMap": "x", "monitoring": {"podMonitor": {"enabled": True}}}
    endpoint = one(engine(values), "PodMonitor")["spec"]["podMetricsEndpoints"][0]
    secret = values["secrets"]["http"]["existingSecret"]
    assert endpoint["authorization"]["credentials"] == {"name": secret, "key": "http-token"}
    assert "sends no token" not in notes(values)
    run = one(engine(values), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert files(run)["ZCK_HTTP__TOKEN_FILE"] == "/etc/zendesk-chat-kafka/secrets/http/http-token"
    values["secrets"] = {**values["secrets"], "http": {"existingSecret": ""}}
    assert "authorization" not in one(engine(values), "PodMonitor")["spec"]["podMetricsEndpoints"][0]
    assert "sends no token" in notes(values)


def test_the_token_of_the_chart_wins_over_that_of_a_config_map_of_somebody_else(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({**minimal()["config"], "http": {"token_file": "/theirs"}}))
    own = {"ZCK_SOURCE__TOKEN_FILE": "/token", "ZCK_HTTP__TOKEN_FILE": "/ours"}
    assert str(load(file, own).http.token_file) == "/ours"


# What the README shows.


def test_every_check_of_the_readme_has_tests():
    table = (CHART / "README.md").read_text().partition("## How it is proved")[2]
    listed = [
        int(number) for row in re.findall(r"^\| (\d[\d, ]*) \|", table, re.MULTILINE) for number in row.split(", ")
    ]
    files = [path for folder in ("chart", "cluster") for path in (Path(__file__).parents[1] / folder).glob("test_*.py")]
    names = re.findall(r"^def test((?:_\d\d)+)_", "\n".join(path.read_text() for path in files), re.MULTILINE)
    assert listed == list(range(1, 26))
    assert {int(number) for name in names for number in name.split("_")[1:]} == set(listed)


def examples():
    return re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_readme_render(number, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(examples()[number])
    found = rendered(values=file)
    assert [text for document in found if (text := invalid(document, "1.37"))] == []
    assert [document["kind"] for document in found if document["kind"] in ("Deployment", "StatefulSet")] == [
        ("Deployment", "StatefulSet")[number]
    ]


def test_a_release_for_each_account(tmp_path):
    shared = values_of(MINIMAL)
    del shared["config"]["account"], shared["secrets"]
    file = tmp_path / "shared.yaml"
    file.write_text(yaml.safe_dump(shared))
    names = []
    for account in ("acme", "globex"):
        secrets = [f"--set=secrets.{part}.existingSecret=zendesk-{account}" for part in ("source", "http")]
        found = rendered(f"--set=config.account={account}", *secrets, values=file, name=f"chat-{account}")
        names += [(document["kind"], document["metadata"]["name"]) for document in found]
    assert len(set(names)) == len(names)


# What is rendered is what the connector and its commands understand.


@pytest.mark.parametrize("case", [case for case in CASES if "single" not in case.name], ids=lambda case: case.name)
def test_the_connector_accepts_the_rendered_configuration(case, tmp_path):
    for _, spec in pod_specs(engine(values_of(case))):
        for container in containers(spec):
            if container["name"].startswith("zendesk-chat-kafka"):
                environ = {one["name"]: one["value"] for one in container["env"] if one["name"].startswith("ZCK_")}
                file = tmp_path / "config.yaml"
                file.write_text(one(engine(values_of(case)), "ConfigMap", "-config")["data"]["config.yaml"])
                config = load(file, environ)
                assert config.http.host == "0.0.0.0"
                assert config.shutdown_timeout == 15


TOPICS = {
    "topics": {"prefix": "a", "metrics": "{prefix}.{account}.x", "retention": {"control": "90m", "metrics": 0.5}},
    "kafka": {"bootstrap_servers": "k:9092", "partitions": 24, "shards": 4, "replication_factor": 5},
}


def test_the_topics_of_strimzi_are_left_to_its_operator():
    for case, wanted in [("strimzi", ["provision", "--schemas-only"]), ("minimal", ["provision"])]:
        pod = one(rendered(values=CHART / "ci" / f"{case}-values.yaml"), "Deployment")["spec"]["template"]["spec"]
        assert pod["initContainers"][0]["args"] == wanted


@pytest.mark.parametrize("change", [{}, TOPICS, {"topics": {"metrics": "Chat_{family}.M"}}], ids=str)
def test_strimzi_topics_are_those_of_provision(change, tmp_path):
    values = values_of(CHART / "ci" / "strimzi-values.yaml")
    values["config"] = {**values["config"], **change}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({**values["config"], "source": {"token_file": "/x"}}))
    config = load(file, {})
    wanted = {
        topic.name: (
            topic.partitions,
            config.kafka.replication_factor,
            {
                "min.insync.replicas": str(config.kafka.min_insync_replicas),
                "message.timestamp.type": "CreateTime",
                **topic.settings,
            },
        )
        for topic in topics_of(config, config.metrics_topics())
    }
    found = [document for document in engine(values) if document["kind"] == "KafkaTopic"]
    assert {
        d["spec"]["topicName"]: (d["spec"]["partitions"], d["spec"]["replicas"], d["spec"]["config"]) for d in found
    } == wanted
    names = [document["metadata"]["name"] for document in found]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name) for name in names)


def test_stray_files_are_not_rendered(tmp_path):
    import shutil

    copied = tmp_path / "zendesk-chat-kafka"
    shutil.copytree(CHART, copied)
    (copied / "templates" / "deployment.yaml.bak").write_text("nonsense: {{ .Values.nothing.at.all }}")
    assert template(chart=copied).code == 0


def test_no_template_asks_the_cluster_or_chance():
    for path in (CHART / "templates").rglob("*.*"):
        for word in ("lookup", ".Capabilities", "randAlpha", "genSignedCert", "now |", "uuidv4"):
            assert word not in path.read_text(), (path.name, word)


def test_notes_say_what_is_weak():
    text = notes(minimal())
    assert "helm -n ns test rel" in text
    for part in ("persistence is off", "prometheusRule is off", "networkPolicy is off"):
        assert part in text
    assert "Weak spots" in text


def test_documents_of_the_hook_come_before_everything_else():
    hooks = [d for d in engine(values_of(CHART / "ci" / "hook-values.yaml")) if "helm.sh/hook" in str(d["metadata"])]
    job = one(hooks, "Job")
    own = one(hooks, "ConfigMap")["metadata"]["name"]
    spec = job["spec"]["template"]["spec"]
    assert spec["volumes"][0]["configMap"]["name"] == own
    assert "serviceAccountName" not in spec
    assert not documents("")

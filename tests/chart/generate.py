"""Makes values.schema.json, the table of README.md and docs/metrics.md from values.yaml and the connector itself.

`make chart` writes the files; with `--check` this only says whether they are up to date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from chart.tools import CHART, ROOT

from connector.adapters.prometheus_table import PREFIX, TABLE
from connector.config import Config
from connector.verify.exposition import metric_of
from connector.verify.findings import KINDS

SCHEMA = CHART / "values.schema.json"
README = CHART / "README.md"
METRICS = ROOT / "docs" / "metrics.md"
BEGIN, END = "<!-- values -->\n", "<!-- end of values -->\n"

Schema = dict[str, Any]
Path_ = tuple[str, ...]

NAME = {"type": "string", "maxLength": 253, "pattern": r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"}
OBJECTS = {"type": "array", "items": {"type": "object"}}
TEXTS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
LABEL_VALUE = {"type": ["string", "number", "boolean"], "pattern": r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"}
LABEL_NAME = r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
OWN_LABELS = [f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "version", "managed-by")]
LABELS = {
    "type": "object",
    "propertyNames": {"maxLength": 63, "pattern": LABEL_NAME, "not": {"enum": [*OWN_LABELS, "helm.sh/chart"]}},
    "additionalProperties": {"maxLength": 63, **LABEL_VALUE},
}
ANNOTATIONS = {
    **TEXTS,
    "propertyNames": {"maxLength": 63, "pattern": LABEL_NAME},
}
OPEN = {"type": "object"}
SECRET_KEY = {"type": ["string", "null"], "maxLength": 253, "pattern": r"^[-._a-zA-Z0-9]*$"}
KAFKA_KEYS = {
    "type": "object",
    "propertyNames": {"pattern": r"^[a-z0-9]+(\.[a-z0-9]+)*$"},
    "additionalProperties": SECRET_KEY,
}
COUNT = {"type": "integer", "minimum": 0, "maximum": 2147483647}
AT_LEAST_1 = {"type": "integer", "minimum": 1, "maximum": 2147483647}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
ORDERED = r"^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
"""The operator refuses other orders of the units."""
DURATION = {"type": "string", "minLength": 1, "pattern": ORDERED}
PERCENT = {"type": ["integer", "string", "null"], "minimum": 0, "pattern": r"^([0-9]|[1-9][0-9]|100)%$"}
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|[kMGTPE]i?)?$"}
RESOURCES = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        kind: {"type": "object", "additionalProperties": {"type": ["string", "number"], "pattern": QUANTITY["pattern"]}}
        for kind in ("requests", "limits")
    },
}
OVERRIDE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "expr": {"type": "string", "minLength": 1},
        "for": DURATION,
        "labels": LABELS,
        "annotations": TEXTS,
    },
}

# What values.yaml cannot say by its defaults.
RULES: dict[str, Schema] = {
    "nameOverride": {"type": "string", "maxLength": 63, "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"},
    "fullnameOverride": {"type": "string", "maxLength": 63, "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"},
    "commonLabels": LABELS,
    "commonAnnotations": ANNOTATIONS,
    "image.registry": {"type": "string", "pattern": r"^([a-zA-Z0-9][-a-zA-Z0-9.:_/]*[a-zA-Z0-9])?$"},
    "image.repository": {"type": "string", "pattern": r"^[a-z0-9][-a-z0-9._/:]*$"},
    "image.tag": {"type": "string", "pattern": r"^([a-zA-Z0-9_][-a-zA-Z0-9_.]{0,127})?$"},
    "image.digest": {"type": "string"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "imagePullSecrets": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": {**NAME, "minLength": 1}},
        },
    },
    "replicas": {**COUNT, "type": ["integer", "null"]},
    "strategy": OPEN,
    "revisionHistoryLimit": COUNT,
    "existingConfigMap": NAME,
    "secrets.kafka.keys": KAFKA_KEYS,
    "secrets.kafkaTls.keys": KAFKA_KEYS,
    "secrets.reload": {"enum": ["hot", "rollout"]},
    "provision.kafka.keys": KAFKA_KEYS,
    "provision.mode": {"enum": ["init", "hook", "strimzi", "none"]},
    "provision.hook.backoffLimit": COUNT,
    "provision.hook.activeDeadlineSeconds": AT_LEAST_1,
    "provision.strimzi.cluster": NAME,
    "provision.strimzi.namespace": NAME,
    "provision.resources": RESOURCES,
    "persistence.size": QUANTITY,
    "persistence.storageClass": NAME,
    "persistence.accessModes": {
        "type": "array",
        "minItems": 1,
        "items": {"enum": ["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]},
    },
    "persistence.annotations": ANNOTATIONS,
    "persistence.retention.whenDeleted": {"enum": ["Retain", "Delete"]},
    "persistence.retention.whenScaled": {"enum": ["Retain", "Delete"]},
    "http.port": {**PORT, "minimum": 1024},
    "http.host": {"enum": ["0.0.0.0", "::"]},
    "shutdown.drainSeconds": {**AT_LEAST_1, "maximum": 3600},
    "shutdown.terminationGracePeriodSeconds": {**AT_LEAST_1, "maximum": 7200},
    "resources": RESOURCES,
    "podSecurityContext": OPEN,
    "securityContext": OPEN,
    "serviceAccount.name": NAME,
    "serviceAccount.annotations": ANNOTATIONS,
    "podDisruptionBudget.maxUnavailable": PERCENT,
    "podDisruptionBudget.minAvailable": PERCENT,
    "topologySpreadConstraints": {**OBJECTS, "type": ["array", "null"]},
    "affinity": OPEN,
    "nodeSelector": TEXTS,
    "tolerations": OBJECTS,
    "hostAliases": OBJECTS,
    "dnsConfig": OPEN,
    "priorityClassName": NAME,
    "schedulerName": NAME,
    "runtimeClassName": NAME,
    "podLabels": LABELS,
    "podAnnotations": ANNOTATIONS,
    "workloadAnnotations": ANNOTATIONS,
    "extraEnv": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string", "minLength": 1}, "value": {"type": "string"}, "valueFrom": OPEN},
        },
    },
    "extraEnvFrom": OBJECTS,
    "extraVolumes": OBJECTS,
    "extraVolumeMounts": OBJECTS,
    "initContainers": OBJECTS,
    "extraContainers": OBJECTS,
    "extraObjects": OBJECTS,
    "service.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "service.port": PORT,
    "service.annotations": ANNOTATIONS,
    "networkPolicy.metricsFrom": OBJECTS,
    "networkPolicy.kafka": OBJECTS,
    "networkPolicy.registry": OBJECTS,
    "networkPolicy.source": OBJECTS,
    "networkPolicy.dns": OBJECTS,
    "networkPolicy.extraEgress": OBJECTS,
    "monitoring.podMonitor.interval": DURATION,
    "monitoring.podMonitor.scrapeTimeout": {"type": "string", "pattern": ORDERED},
    "monitoring.podMonitor.labels": LABELS,
    "monitoring.podMonitor.relabelings": OBJECTS,
    "monitoring.podMonitor.metricRelabelings": OBJECTS,
    "monitoring.prometheusRule.labels": LABELS,
    "monitoring.prometheusRule.alertLabels": LABELS,
    "monitoring.prometheusRule.exclude": {"type": "array", "items": {"type": "string"}},
    "monitoring.prometheusRule.overrides": {"type": "object", "additionalProperties": OVERRIDE},
    "monitoring.prometheusRule.runbookBase": {"type": "string", "pattern": r"^(https?://.*[^/])?$"},
    "monitoring.dashboards.namespace": NAME,
    "monitoring.dashboards.labels": LABELS,
    "monitoring.dashboards.annotations": ANNOTATIONS,
    "global": OPEN,
}
DESCRIPTIONS = {
    "periodSeconds": "Seconds between two probes",
    "timeoutSeconds": "Seconds until a probe counts as failed",
    "failureThreshold": "Failed probes in a row until Kubernetes acts",
}

# Set by the chart, or of no use in a pod.
CHART_SETS = {
    (): ("instance", "ownership", "shutdown_timeout"),
    ("http",): ("enabled", "host", "port"),
}
SECRET_SETTING = r"(password|passphrase|secret|ssl\.key\.pem|private\.key\.pem|oauthbearer\.config)"


def values_schema() -> Schema:
    """The schema of values.yaml; closed but for `global` and what goes to Kubernetes as it is."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    descriptions = comments()
    described, definitions = configuration()
    root = section((), values, descriptions)
    root["properties"]["config"] = {**described, "description": descriptions[("config",)]}
    root["properties"]["enabled"] = {"type": "boolean", "description": "Condition of a parent chart; not used here"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of zendesk-chat-kafka",
        **root,
        "definitions": definitions,
    }


def section(path: Path_, values: dict[str, Any], descriptions: dict[Path_, str]) -> Schema:
    """The schema of one mapping. Whatever has a default is required: null would take it away."""
    properties = {}
    for key, value in values.items():
        own = (*path, key)
        properties[key] = {"description": descriptions.get(own, ""), **property_schema(own, value, descriptions)}
    required = [key for key in values if "null" not in properties[key].get("type", ())]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def property_schema(path: Path_, value: Any, descriptions: dict[Path_, str]) -> Schema:
    if ".".join(path) in RULES:
        return deepcopy(RULES[".".join(path)])
    if path[-1] == "existingSecret":
        return deepcopy(NAME)
    if path[-2:-1] == ("keys",):
        return deepcopy(SECRET_KEY)
    if path[0] == "probes" and not isinstance(value, dict):
        return deepcopy(AT_LEAST_1)
    if isinstance(value, dict):
        found = section(path, value, descriptions)
        if path[-1] == "keys":
            del found["required"]
        return found
    if isinstance(value, bool):
        return {"type": "boolean"}
    raise SystemExit(f"values.yaml: {'.'.join(path)}: no rule says what it may be; add one to {Path(__file__).name}")


def configuration() -> tuple[Schema, dict[str, Schema]]:
    """The connector's schema as draft 7, without what the chart sets, and its definitions."""
    whole = json.loads(json.dumps(Config.model_json_schema()).replace("#/$defs/", "#/definitions/"))
    definitions = whole.pop("$defs")
    for schema in (whole, *definitions.values()):
        tidy(schema)
    for key in CHART_SETS[()]:
        whole["properties"].pop(key, None)
    for key in CHART_SETS["http",]:
        definitions["Http"]["properties"].pop(key, None)
    # One message for all that is missing comes from the templates.
    del whole["required"]
    whole["properties"]["guarantee"]["enum"].remove("demo")
    # Paths of secrets come from `secrets`, the folder of the buffer from `persistence`.
    for name in ("Source", "OAuth", "Basic", "Disk", "Kafka", "Registry"):
        definitions[name].pop("required", None)
    definitions["OAuth"]["required"] = ["client_id"]
    definitions["Basic"]["required"] = ["username"]
    definitions["Kafka"]["properties"]["properties"]["propertyNames"] = {"not": {"pattern": SECRET_SETTING}}
    return whole, dict(sorted(definitions.items()))


def tidy(schema: Schema) -> None:
    """Leave out what only Python needs, and `null` where the chart wants a value or none."""
    for key in ("title",):
        schema.pop(key, None)
    for name, found in schema.get("properties", {}).items():
        found.pop("title", None)
        if found.get("format") == "path":
            found["minLength"] = 1
        found.pop("format", None)
        if "$ref" in found:
            schema["properties"][name] = {"$ref": found["$ref"]}


def comments() -> dict[Path_, str]:
    """Path -> comment above it."""
    found: dict[Path_, str] = {}
    path: list[str] = []
    waiting: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("# "):
            waiting.append(stripped[2:])
            continue
        key = re.match(r"^( *)([A-Za-z][A-Za-z0-9.]*):", line)
        if key:
            path[len(key[1]) // 2 :] = [key[2]]
            text = " ".join(waiting) or DESCRIPTIONS.get(key[2], "")
            if text:
                found[tuple(path)] = text
        waiting = []
    return found


def table() -> str:
    """One row for each leaf of values.yaml."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    descriptions = comments()
    rows = ["| Value | Meaning | Default |", "| --- | --- | --- |"]
    for path, value in leaves((), values, descriptions):
        default = json.dumps(value, ensure_ascii=False)
        meaning = descriptions[path].replace("|", "\\|")
        rows.append(f"| `{'.'.join(path)}` | {meaning} | `{default}` |")
    return "\n".join(rows) + "\n"


def leaves(path: Path_, values: dict[str, Any], descriptions: dict[Path_, str]) -> list[tuple[Path_, Any]]:
    """What a user sets as one; a mapping with a description of its own is one."""
    found: list[tuple[Path_, Any]] = []
    for key, value in values.items():
        own = (*path, key)
        inner = (
            isinstance(value, dict)
            and value
            and any(other[: len(own)] == own for other in descriptions if other != own)
        )
        found += leaves(own, value, descriptions) if inner else [(own, value)]
    return found


def readme() -> str:
    """README.md with its table replaced."""
    text = README.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return head + BEGIN + "\n" + table() + "\n" + END + tail


def metrics() -> str:
    """docs/metrics.md: every metric that is exposed."""
    rows = [
        f"| `{PREFIX}{row.name}` | {row.type} | {', '.join(f'`{label}`' for label in row.labels)} | {row.help} |"
        for row in TABLE
    ]
    audit = [f"| `{metric_of(kind)}_total` | {meaning} |" for kind, meaning in KINDS.items()]
    return "\n".join(
        [
            "# Metrics",
            "",
            "Made by `make chart`. `/metrics` of `run` also has the `process_*` metrics of the Prometheus client.",
            "",
            "Labels are bounded: reasons, codes and levels are short lists. Only `http.series_metrics` adds metrics for",
            "single series, for as many as it says. An OpenTelemetry Collector reads the same page with its `prometheus`",
            "receiver; nothing has to be switched on here.",
            "",
            "| Metric | Type | Labels | Meaning |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "`verify --watch` counts what it found, 0 at best:",
            "",
            "| Metric | Found |",
            "| --- | --- |",
            *audit,
            "",
        ]
    )


def made() -> dict[Path, str]:
    """What the files must hold."""
    schema = json.dumps(values_schema(), indent=1, ensure_ascii=False) + "\n"
    return {SCHEMA: schema, README: readme(), METRICS: metrics()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the files are up to date")
    check = parser.parse_args().check
    files = made()
    stale = [path.name for path, text in files.items() if not path.exists() or path.read_text() != text]
    if check:
        print(f"out of date: {', '.join(stale)}; run make chart" if stale else "up to date")
        return int(bool(stale))
    for path, text in files.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

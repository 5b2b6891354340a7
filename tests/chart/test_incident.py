"""Checks 17 and 18: dashboards and alerts against what the live process says, through a real Prometheus."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import subprocess

import pytest
from chart.incident import SHORTER, Incident
from chart.test_alerts import KUBE_STATE, NAMES, TARGET, rule_of, used
from chart.test_dashboards import BOARDS, queries
from prometheus_client.parser import text_string_to_metric_families
from stage import Stage

from connector.adapters.prometheus_table import TABLE
from connector.local.kafka import Kafka

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's prometheus")


@pytest.fixture(scope="module")
def incident(registry_url, tmp_path_factory):
    """Two replicas, an audit and Prometheus, after the whole script."""
    with Kafka() as kafka:
        stage = Stage(tmp_path_factory.mktemp("incident"), kafka.bootstrap, registry_url, rate=50.0)
        stage.start_emulator()
        played = Incident(stage, kafka)
        try:
            played.play()
            yield played
        finally:
            played.close()
            stage.close()


@pytest.fixture(scope="module")
def exposed(incident):
    """Name -> labels of every sample that Prometheus got."""
    found = {}
    for labels in incident.prometheus.ask("series", **{"match[]": '{__name__=~".+"}'}):
        found.setdefault(labels["__name__"], set()).update(labels)
    return found


def test_17_the_exposition_is_well_formed(incident):
    text = incident.metrics("rel-1")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_17_alerts_and_dashboards_use_what_is_scraped(exposed):
    expressions = {name: rule_of(name)["expr"] for name in NAMES}
    for path in BOARDS:
        for title, expression in queries(json.loads(path.read_text())):
            expressions[f"{path.stem}: {title}: {expression}"] = expression
    for where, expression in expressions.items():
        metrics, labels = used(expression)
        metrics -= set(KUBE_STATE)
        assert metrics <= set(exposed), (where, metrics - set(exposed))
        if metrics:
            assert labels <= TARGET | set().union(*(exposed[metric] for metric in metrics)), where


def test_17_the_table_of_metrics_is_what_is_scraped(incident, exposed):
    families = {}
    for family in text_string_to_metric_families(incident.metrics("rel-1")):
        families[family.name] = family.documentation
    for row in TABLE:
        name = f"zendesk_chat_{row.name}"
        sample = f"{name}_bucket" if row.type == "histogram" else name
        assert set(row.labels) <= exposed[sample], name
        assert families[name.removesuffix("_total")] == row.help
    own = {name.removesuffix("_total") for name in families if name.startswith("zendesk_chat_")}
    assert own == {f"zendesk_chat_{row.name}".removesuffix("_total") for row in TABLE}


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_18_every_panel_has_data(incident, path):
    empty = []
    for title, expression in queries(json.loads(path.read_text())):
        # What stands in for nothing would be an answer to any query.
        asked = expression.removesuffix(" or vector(0)")
        assert "vector(" not in asked, title
        values = [float(value) for one in incident.prometheus.series(asked) for _, value in one["values"]]
        if not any(math.isfinite(value) for value in values):
            empty.append(f"{title}: {expression}")
    assert empty == [], "\n".join(empty)


def test_18_an_empty_panel_is_noticed(incident):
    assert incident.prometheus.series('zendesk_chat_session_up{namespace="elsewhere"}') == []


@pytest.mark.parametrize("name", SHORTER)
def test_18_the_alert_fires_then_is_resolved(incident, name):
    states = [state for state, _ in itertools.groupby(one for one in incident.seen[name] if one != "inactive")]
    # Pending may come and go before: each session that was lost is a moment without one.
    assert states[:2] == (["pending", "firing"] if "for" in SHORTER[name] else ["firing"])
    assert incident.seen[name][-1] == "inactive"


def test_18_no_rule_failed(incident):
    rules = [rule for group in incident.prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == set(NAMES)
    assert not [rule["name"] for rule in rules if rule.get("lastError")]

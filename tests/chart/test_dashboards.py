"""Checks 17 and 18 without a server: what the dashboards ask for is in the table of metrics (live: test_incident)."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import yaml
from chart.render import CHART
from chart.test_alerts import TARGET, known_metrics, used

BOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
VARIABLES = {"$namespace": ".*", "$job": ".*", "$__rate_interval": "1m"}


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries(board):
    for panel in panels(board):
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_17_dashboards_use_what_is_exposed(path):
    known = known_metrics() | {name: set() for name in PROCESS}
    for title, expression in queries(json.loads(path.read_text())):
        metrics, labels = used(expression)
        assert metrics, title
        assert metrics <= set(known), title
        assert labels <= TARGET | set().union(*(known[metric] for metric in metrics)), title


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_18_dashboards_can_be_imported(path):
    board = json.loads(path.read_text())
    assert "__inputs" not in board
    assert board["uid"].startswith("zck-")
    assert [one["name"] for one in board["templating"]["list"]] == ["datasource", "namespace", "job"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(board):
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all('namespace=~"$namespace", job=~"$job"' in target["expr"] for target in panel["targets"])
    places = [panel["gridPos"] for panel in board["panels"]]
    for at, one in enumerate(places):
        for other in places[at + 1 :]:
            assert not overlap(one, other)


def overlap(one, other):
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in ("xw", "yh"))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's prometheus")
@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_18_prometheus_accepts_every_query(path, tmp_path):
    rules = [{"record": f"q:{at}", "expr": one} for at, (_, one) in enumerate(queries(json.loads(path.read_text())))]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_17_every_metric_is_shown_or_deliberately_not():
    shown = set()
    for path in BOARDS:
        for _, expression in queries(json.loads(path.read_text())):
            shown |= used(expression)[0]
    own = {name for name in known_metrics() if name.startswith("zendesk_chat_") and "verify" not in name}
    parts = {name for name in own if name.endswith(("_sum", "_count", "_bucket"))}
    per_series = {f"zendesk_chat_series_{name}" for name in ("value", "sequence", "epoch", "without_metrics")}
    assert own - shown - parts == per_series | {"zendesk_chat_guarantee_strict"}

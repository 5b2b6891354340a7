"""Check 16: every alert is known to fire and to stay silent, and its limits are held by tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from chart.render import CHART
from figures import tell

from connector.adapters.prometheus_table import BY_NAME
from connector.verify.exposition import metric_of
from connector.verify.findings import KINDS

ALERTS = sorted((CHART / "files" / "alerts").glob("*.yaml"))
TESTS = Path(__file__).parent / "alerts"
NAMES = [path.stem for path in ALERTS]
KUBE_STATE = {
    "kube_pod_container_status_last_terminated_exitcode": {"namespace", "pod", "container"},
    "kube_pod_container_status_waiting_reason": {"namespace", "pod", "container", "reason"},
    "kube_pod_init_container_status_waiting_reason": {"namespace", "pod", "container", "reason"},
}
"""Of kube-state-metrics, as its documentation has them."""

TARGET = {"namespace", "job", "pod", "le", "container"}
"""Labels that a PodMonitor adds, and that of histograms."""


def rule_of(name):
    (group,) = yaml.safe_load((CHART / "files" / "alerts" / f"{name}.yaml").read_text())["groups"]
    (rule,) = group["rules"]
    return rule


pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's prometheus")


def promtool(*arguments):
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_16_the_files_are_whole():
    assert len(NAMES) >= 14
    assert {path.name.removesuffix("_test.yaml") for path in TESTS.iterdir()} == set(NAMES)
    assert {path.stem for path in (CHART / "runbooks").glob("*.md")} == set(NAMES)
    for name in NAMES:
        rule = rule_of(name)
        assert rule["alert"] == name
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_16_promtool_accepts_the_rules():
    done = promtool("check", "rules", *ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_16_fires_and_stays_silent(name):
    file = TESTS / f"{name}_test.yaml"
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = [case for test in yaml.safe_load(file.read_text())["tests"] for case in test["alert_rule_test"]]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)


UNITS = {"s": 1, "m": 60, "h": 3600}


@pytest.mark.parametrize("name", NAMES)
def test_16_it_goes_away_when_all_is_well_again(name):
    tests = yaml.safe_load((TESTS / f"{name}_test.yaml").read_text())["tests"]
    assert any(goes_away(test["alert_rule_test"]) for test in tests)


def goes_away(cases):
    """True if the alert fires first and is silent later, with the same series."""
    at = [sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)([smh])", case["eval_time"])) for case in cases]
    fires = [bool(case["exp_alerts"]) for _, case in sorted(zip(at, cases, strict=True), key=lambda pair: pair[0])]
    return True in fires and not fires[-1]


def test_16_an_alert_that_stays_is_noticed():
    fires, silent = {"eval_time": "2m", "exp_alerts": [{}]}, {"eval_time": "1m30s", "exp_alerts": []}
    assert not goes_away([fires, silent])
    assert goes_away([fires, {**silent, "eval_time": "1h"}])


COMPARISONS = {">": ("<", ">="), "<": (">", "<="), "==": ("!=",), ">=": (">", "<"), "<=": ("<", ">")}
COMPARISON = re.compile(r"(?<![=!<>])(==|>=|<=|>|<)\s+(-?\d+(?:\.\d+)?)")
WINDOW = re.compile(r"\[(\d+)([mh])\]")


def mutations(rule):
    """(what, rule) for each limit, comparison, window and `for` that is made wrong."""
    expr = rule["expr"]
    for found in COMPARISON.finditer(expr):
        sign, limit = found.groups()
        number = float(limit)
        # Counts move by one, times and shares by five per cent.
        step = 1.0 if number in (0, 2, 5) else number * 0.05
        for other in (number + step, number - step):
            if not (sign == "==" and number == 0 and other < 0):
                yield f"{limit} to {other:g}", changed(rule, expr, found.span(2), f"{other:g}")
        for other in COMPARISONS[sign]:
            yield f"{sign} to {other}", changed(rule, expr, found.span(1), other)
    for found in WINDOW.finditer(expr):
        minutes = int(found[1]) * (60 if found[2] == "h" else 1)
        for other in (round(minutes * 0.8), round(minutes * 1.2)):
            yield f"{found[0]} to [{other}m]", changed(rule, expr, found.span(), f"[{other}m]")
    if "for" in rule:
        seconds = int(rule["for"].removesuffix("m")) * 60
        for other in (seconds - 30, seconds + 30):
            yield f"for {other}s", {**rule, "for": f"{other}s"}


def changed(rule, expr, span, text):
    return {**rule, "expr": expr[: span[0]] + text + expr[span[1] :]}


def survivors(name, folder):
    tests = yaml.safe_load((TESTS / f"{name}_test.yaml").read_text())
    found = []
    for number, (what, rule) in enumerate(mutations(rule_of(name))):
        rules = folder / f"{name}-{number}.yaml"
        rules.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [rule]}]}))
        test = folder / f"{name}-{number}_test.yaml"
        test.write_text(yaml.safe_dump({**tests, "rule_files": [rules.name]}))
        killed = promtool("test", "rules", test).returncode != 0
        found.append((what, killed))
    return found


def test_16_every_limit_is_held_by_a_test(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(NAMES, pool.map(lambda name: survivors(name, tmp_path), NAMES), strict=True))
    total = sum(len(found) for found in results.values())
    alive = [f"{name}: {what}" for name, found in results.items() for what, killed in found if not killed]
    cases = sum(
        len(test["alert_rule_test"]) for path in TESTS.iterdir() for test in yaml.safe_load(path.read_text())["tests"]
    )
    tell(f"{len(NAMES)} alerts, {cases} cases; {total - len(alive)} of {total} mutations noticed")
    assert alive == [], "\n".join(alive)


# 17


def known_metrics():
    """Name -> labels of everything that can be scraped: the connector, the audit, kube-state-metrics."""
    known = dict(KUBE_STATE)
    for row in BY_NAME.values():
        name = f"zendesk_chat_{row.name}"
        for one in [name] if row.type != "histogram" else [f"{name}_{part}" for part in ("bucket", "sum", "count")]:
            known[one] = set(row.labels)
    return known | {f"{metric_of(kind)}_total": set() for kind in KINDS}


def used(expression):
    """(metrics, labels) in an expression, by their form: good enough for our own."""
    metrics = set(re.findall(r"\b((?:zendesk_chat|kube|process|python)_[a-z_]+)", expression))
    labels = {one for part in re.findall(r"\b(?:by|on) ?\(([^)]*)\)", expression) for one in part.split(",")}
    labels |= set(re.findall(r"([a-z_]+)(?:=~|!~|!=|=)\"", expression))
    return metrics, {one.strip() for one in labels if one.strip()}


@pytest.mark.parametrize("name", NAMES)
def test_17_alerts_use_what_is_exposed(name):
    known = known_metrics()
    metrics, labels = used(rule_of(name)["expr"])
    assert metrics
    assert metrics <= set(known)
    assert labels <= TARGET | set().union(*(known[metric] for metric in metrics))


@pytest.mark.parametrize("name", NAMES)
def test_17_runbooks_name_what_is_exposed(name):
    metrics, _ = used((CHART / "runbooks" / f"{name}.md").read_text())
    assert metrics <= set(known_metrics()) | {f"zendesk_chat_{row.name}" for row in BY_NAME.values()}


def test_17_an_unknown_metric_is_noticed():
    metrics, labels = used('sum by (namespace, nonsense) (zendesk_chat_no_such{a="b"})')
    assert not metrics <= set(known_metrics())
    assert labels == {"namespace", "nonsense", "a"}

"""Check 9 goes on: the chart below another one, twice under other names, with that one's own `global`."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml
from chart.render import CHART, MINIMAL, documents, helm_run, invalid, values_of

ACCOUNTS = ("north", "south")


@pytest.fixture(params=[3, 4], ids=["helm 3", "helm 4"])
def render(request, tmp_path):
    """Renders a parent with two connectors; its values over the minimal ones of each."""
    parent = tmp_path / "platform"
    (parent / "templates").mkdir(parents=True)
    dependencies = [
        {
            "name": "zendesk-chat-kafka", "version": ">=0.1.0-0", "repository": f"file://{CHART}", "alias": one,
            "condition": f"{one}.enabled",
        }
        for one in ACCOUNTS
    ]  # fmt: skip
    about = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": dependencies}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(about))
    updated = helm_run("dependency", "update", parent, major=request.param)
    assert updated.code == 0, updated.error

    def make(name="rel", **values):
        each = {one: {**values_of(MINIMAL), "config": account(one)} for one in ACCOUNTS}
        merged = {key: {**each.get(key, {}), **values.get(key, {})} for key in {*each, *values}}
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(merged))
        return helm_run("template", name, parent, "-n", "ns", "-f", file, major=request.param)

    return make


def account(name):
    return {**values_of(MINIMAL)["config"], "account": name}


def rendered(done):
    assert done.code == 0, done.error
    found = documents(done.output)
    assert [problem for one in found if (problem := invalid(one, "1.37"))] == []
    return found


@pytest.mark.parametrize("name", ["rel", "123", "y", "a" * 53])
def test_09_two_connectors_below_one_parent_share_no_object(render, name):
    found = rendered(render(name, **{"global": {"cattle": {"systemDefaultRegistry": "r"}, "anything": [1]}}))
    names = Counter((one["kind"], one["metadata"]["name"]) for one in found)
    assert {where: times for where, times in names.items() if times > 1} == {}
    workloads = [one for one in found if one["kind"] == "Deployment"]
    assert len(workloads) == len(ACCOUNTS)
    selectors = [tuple(sorted(one["spec"]["selector"]["matchLabels"].items())) for one in workloads]
    assert len(set(selectors)) == len(ACCOUNTS), "one would adopt the other's pods"


def test_09_a_condition_switches_one_of_them_off(render):
    found = rendered(render(south={"enabled": False}))
    text = yaml.safe_dump_all(found)
    assert sum(one["kind"] == "Deployment" for one in found) == 1
    assert "account: north" in text
    assert "account: south" not in text


def test_09_an_unknown_value_of_the_subchart_is_refused_through_the_parent(render):
    done = render(north={"relicas": 3})
    assert done.code != 0
    assert "relicas" in done.error

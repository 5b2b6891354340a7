"""Checks 1, 3, 4 and 9 fail when they should: each on a copy of the chart with one fault."""

from __future__ import annotations

import copy
import shutil

import pytest
import yaml
from chart import generate
from chart.render import CHART, MINIMAL, rendered
from chart.test_templates import (
    MAJORS,
    idle,
    leaves,
    lint,
    misnamed,
    of_every_version,
    stale,
    undescribed,
    unlike_golden,
)

STATEFUL = CHART / "ci" / "statefulset-values.yaml"


@pytest.fixture
def plant(tmp_path):
    """Function: replaces a text wherever the files have it; the folder of the copy."""
    copied = tmp_path / "zendesk-chat-kafka"
    shutil.copytree(CHART, copied)

    def replace(old, new, *files):
        for name in files:
            text = (copied / name).read_text()
            assert old in text, name
            (copied / name).write_text(text.replace(old, new))
        return copied

    return replace


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("templates/pdb.yaml", "policy/v1", "policy/v1beta1", "is deprecated in"),
        (
            "templates/service.yaml",
            'name: {{ include "connector.fullname" . | quote }}',
            "name: A_b",
            "does not conform",
        ),
        ("templates/service.yaml", "{{ include", "{{ includes", 'function "includes" not defined'),
        ("Chart.yaml", 'appVersion: "0.1.0"', "appVersion: 0.1", "appVersion should be of type string"),
    ],
    ids=["an old API", "a name", "no such function", "a version that is a number"],
)
def test_01_a_fault_is_told(plant, file, old, new, said, major):
    assert said in lint(MINIMAL, major, plant(old, new, file))


def test_03_a_file_that_was_not_made_again_is_noticed(plant, monkeypatch):
    monkeypatch.setattr(generate, "CHART", plant("# The connector's own configuration", "# Another", "values.yaml"))
    assert stale() == ["values.schema.json", "README.md"]


def test_03_a_value_without_a_word_is_noticed():
    schema = copy.deepcopy(yaml.safe_load((CHART / "values.schema.json").read_text()))
    schema["properties"]["http"]["properties"]["port"].pop("description")
    assert undescribed(schema) == ["http.port"]


def test_03_a_value_that_nothing_reads_is_noticed(plant):
    import helm_python

    files = ("templates/deployment.yaml", "templates/statefulset.yaml")
    copied = plant(".Values.revisionHistoryLimit", "5", *files)
    assert idle([("revisionHistoryLimit",), ("schedulerName",)], helm_python.Chart.load(str(copied))) == [
        "revisionHistoryLimit"
    ]


def test_03_the_faults_are_looked_for_in_every_value():
    assert len(list(leaves(yaml.safe_load((CHART / "values.schema.json").read_text())))) > 100


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ('.Capabilities.KubeVersion.Minor | eq "37"', [(3, "1.37"), (4, "1.37")]),
        ('.Capabilities.HelmVersion.Version | hasPrefix "v4"', [(4, "1.29"), (4, "1.37")]),
        ("true", [(3, "1.29"), (3, "1.37"), (4, "1.29"), (4, "1.37")]),
    ],
    ids=["Kubernetes", "Helm", "all"],
)
def test_04_another_render_is_noticed(plant, asked, wrong):
    limit = "{{ .Values.revisionHistoryLimit | int }}"
    copied = plant(limit, f"{limit}{{{{ if {asked} }}}}0{{{{ end }}}}", "templates/deployment.yaml")
    assert unlike_golden(MINIMAL, of_every_version(MINIMAL, copied, ["1.29", "1.37"])) == wrong


@pytest.mark.parametrize(
    ("old", "new", "name", "wrong"),
    [
        ("instance: {{ .Release.Name | quote }}", "instance: {{ .Release.Name }}", "123", ("StatefulSet", 123)),
        ("instance: {{ .Release.Name | quote }}", "instance: {{ .Release.Name }}", "on", ("StatefulSet", True)),
        ("if gt (len $name) 52", "if gt (len $name) 63", "a" * 40, ("StatefulSet", "a" * 40 + "-zendesk-chat-kafka")),
        ('regexMatch "^[0-9]"', 'regexMatch "^[A-Z]"', "123", ("StatefulSet", "123-zendesk-chat-kafka")),
    ],
    ids=["a number", "a boolean", "too long", "begins with a digit"],
)
def test_09_a_wrong_name_is_noticed(plant, old, new, name, wrong):
    found = misnamed(rendered(values=STATEFUL, name=name, chart=plant(old, new, "templates/_names.tpl")))
    assert wrong in found

"""Renders the chart, and takes apart what comes out."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from chart.tools import CHART, custom_resources, helm

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = sorted((CHART / "ci").glob("*-values.yaml"))
MINIMAL = CHART / "ci" / "minimal-values.yaml"
RELEASED = sorted((Path(__file__).parent / "released").glob("*.tgz"))
"""Packages as they were published; the first is of 0.1.0 before it is, so that upgrades are tested at all."""

MINORS = [f"1.{minor}" for minor in range(29, 38)]
CUSTOM = {"PodMonitor", "PrometheusRule", "KafkaTopic"}
WORKLOADS = {"Deployment", "StatefulSet", "Job"}

Document = dict[str, Any]


class Done(NamedTuple):
    """What a program said."""

    code: int
    output: str
    error: str


def helm_run(*arguments: object, major: int = 4) -> Done:
    """Run Helm."""
    done = subprocess.run(
        [str(helm(major)), *map(str, arguments)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return Done(done.returncode, done.stdout, done.stderr)


def template(
    *arguments: object, values: Path = MINIMAL, name: str = "rel", major: int = 4, chart: Path = CHART
) -> Done:
    """`helm template`."""
    return helm_run("template", name, chart, "-n", "ns", "-f", values, *arguments, major=major)


def rendered(*arguments: object, **options: Any) -> list[Document]:
    """The documents of `helm template`, which must succeed."""
    done = template(*arguments, **options)
    assert done.code == 0, done.error
    return documents(done.output)


def documents(text: str) -> list[Document]:
    """Every document that is not empty. PyYAML reads YAML 1.1, where an unquoted `on` is no text."""
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


@cache
def chart() -> Any:
    """The chart in Helm's own engine, as a library: milliseconds for each render."""
    import helm_python

    return helm_python.Chart.load(str(CHART))


def values_of(case: Path) -> dict[str, Any]:
    """The values of a file."""
    return yaml.safe_load(case.read_text())


def engine(values: dict[str, Any], name: str = "rel") -> list[Document]:
    """The documents of these values; raises HelmError."""
    files = chart().render(values, name=name, namespace="ns")
    return [one for path, text in files.items() if path.endswith(".yaml") for one in documents(text)]


def notes(values: dict[str, Any], name: str = "rel") -> str:
    """NOTES.txt of these values."""
    files = chart().render(values, name=name, namespace="ns")
    return next(text for path, text in files.items() if path.endswith("NOTES.txt"))


def one(found: list[Document], kind: str, suffix: str = "") -> Document:
    """The only document of this kind whose name ends so."""
    matching = [d for d in found if d["kind"] == kind and d["metadata"]["name"].endswith(suffix)]
    assert len(matching) == 1, f"{len(matching)} of {kind} {suffix}"
    return matching[0]


def pod_specs(found: list[Document]) -> Iterator[tuple[str, Document]]:
    """Name and spec of each pod: workloads, hooks, tests."""
    for document in found:
        if document["kind"] in WORKLOADS:
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]
        elif document["kind"] == "Pod":
            yield document["metadata"]["name"], document["spec"]


def containers(spec: Document) -> list[Document]:
    """Every container of a pod."""
    return [*spec.get("initContainers", []), *spec["containers"]]


def invalid(document: Document, minor: str) -> str | None:
    """What the strict schema of Kubernetes, or of the custom resource, says against the document."""
    import jsonschema
    import kubernetes_validate

    # Each of its schemas has some megabytes.
    if not hasattr(kubernetes_validate.utils.schema_contents, "cache_info"):
        kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
    try:
        if document["kind"] in CUSTOM:
            jsonschema.Draft7Validator(custom_schemas()[document["kind"]]).validate(document)
        else:
            kubernetes_validate.validate(document, minor, strict=True)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
        return f"{document['kind']}: {error.message}"
    return None


@cache
def custom_schemas() -> dict[str, Any]:
    """Kind -> closed schema, from the definitions of the operators."""
    found = {}
    for path in custom_resources():
        for definition in yaml.safe_load_all(path.read_text()):
            version = definition["spec"]["versions"][0]
            schema = close(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[definition["spec"]["names"]["kind"]] = schema
    return found


def close(schema: Any) -> Any:
    """The schema with unknown keys refused, as the API server does with strict validation."""
    if isinstance(schema, list):
        return [close(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items() if key != "description"}
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_ended:
        closed["additionalProperties"] = False
    return closed


def canonical(found: list[Document]) -> str:
    """The documents as JSON, in the order of kind and name."""
    ordered = sorted(found, key=lambda d: (d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]))
    return json.dumps(ordered, sort_keys=True, indent=1, default=str)

"""Check 8: whatever the schema lets through renders to valid, restricted objects; the rest is refused with a reason."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from functools import cache

import pytest
import yaml
from chart.passed_on import STRATEGIES
from chart.render import CASES, CHART, engine, invalid, pod_specs, values_of
from chart.restricted import violations
from chart.test_templates import leaves, put
from figures import tell
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

RENDERS = 2000
BASES = [values_of(case) for case in CASES]
SCHEMA = yaml.safe_load((CHART / "values.schema.json").read_text())
REASON = re.compile(r"values don't meet the specifications|\d+ wrong in the values")
OUTCOMES: Counter[str] = Counter()
DRAWN: set[tuple[str, ...]] = set()
VALID: set[str] = set()
"""What was judged before: most objects stay the same."""


LEAVES = list(leaves(SCHEMA))
CONFIG = [
    (("config", section, *rest), part)
    for section, found in SCHEMA["properties"]["config"]["properties"].items()
    for rest, part in (
        [((name,), part) for name, part in SCHEMA["definitions"][found["$ref"].split("/")[-1]]["properties"].items()]
        if "$ref" in found
        else [((), found)]
    )
]
PLACES = LEAVES + CONFIG
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
ANYTHING = SCALARS | st.just([]) | st.just({}) | st.just([{}])


@cache
def strategy(place):
    """Values that this part of the schema allows; of what goes to Kubernetes as it is, those that Kubernetes takes."""
    path, part = PLACES[place]
    name = ".".join(path)
    return STRATEGIES[name] if name in STRATEGIES else of_schema(part)


def of_schema(part):
    """Values of a part of the schema; a value that is not allowed now and then does no harm."""
    if "$ref" in part:
        return of_schema(SCHEMA["definitions"][part["$ref"].rpartition("/")[2]])
    if "anyOf" in part:
        return st.one_of(*map(of_schema, part["anyOf"]))
    if "enum" in part or "const" in part:
        return st.sampled_from(part.get("enum") or [part["const"]])
    kinds = part.get("type", "object")
    return st.one_of(*(KINDS[kind](part) for kind in ([kinds] if isinstance(kinds, str) else kinds)))


def numbers(of, part):
    low = part.get("minimum", part.get("exclusiveMinimum"))
    return of(low, part.get("maximum", part.get("exclusiveMaximum")))


def texts(part):
    if "pattern" in part:
        return st.from_regex(re.compile(part["pattern"], re.ASCII)).filter(lambda text: not text.endswith("\n"))
    return st.text(min_size=part.get("minLength", 0), max_size=min(part.get("maxLength", 12), 60))


def objects(part):
    known = {name: of_schema(one) for name, one in part.get("properties", {}).items()}
    required = {name: known.pop(name) for name in part.get("required", ()) if name in known}
    fixed = st.fixed_dictionaries(required, optional=known)
    more = part.get("additionalProperties")
    if not isinstance(more, dict):
        return fixed
    names = texts(part.get("propertyNames", {"minLength": 1}))
    return st.builds(lambda one, other: other | one, fixed, st.dictionaries(names, of_schema(more), max_size=2))


KINDS = {
    "null": lambda _: st.none(),
    "boolean": lambda _: st.booleans(),
    "integer": lambda part: numbers(st.integers, part),
    "number": lambda part: numbers(
        lambda low, high: st.floats(low, high, allow_nan=False, allow_infinity=False, width=32), part
    ),
    "string": texts,
    "array": lambda part: st.lists(of_schema(part.get("items", {})), min_size=part.get("minItems", 0), max_size=3),
    "object": objects,
}


@st.composite
def values(draw):
    """One of the files of helm/ci with up to four values replaced."""
    found = copy.deepcopy(draw(st.sampled_from(BASES)))
    for place in draw(st.lists(st.integers(0, len(PLACES) - 1), max_size=3, unique=True)):
        path, _ = PLACES[place]
        if path[0] != "config" or "config" in found:
            # One of twelve is something else.
            other = SCALARS if ".".join(path) in STRATEGIES else ANYTHING
            found = put(found, path, draw(strategy(place) if draw(st.integers(0, 11)) else other))
            DRAWN.add(path)
    return found


@settings(
    phases=[Phase.generate],
    max_examples=RENDERS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(values(), st.sampled_from(["1.29", "1.37"]))
def test_08_what_the_schema_accepts_is_valid_and_restricted(found, minor):
    import helm_python

    reason = None
    try:
        documents = engine(found)
    except helm_python.HelmError as error:
        reason = str(error)
    OUTCOMES["refused" if reason else "rendered"] += 1
    if reason is not None:
        assert REASON.search(reason), reason
        return
    for document in documents:
        key = f"{minor} {json.dumps(document, sort_keys=True)}"
        if key not in VALID:
            assert (text := invalid(document, minor)) is None, text
            VALID.add(key)
    for name, spec in pod_specs(documents):
        assert violations(spec) == [], name


def test_08_enough_was_rendered():
    if not OUTCOMES:
        pytest.fail("runs after the property")
    tell(f"{sum(OUTCOMES.values())} random renders: {dict(OUTCOMES)}")
    assert sum(OUTCOMES.values()) >= RENDERS
    assert OUTCOMES["rendered"] >= RENDERS / 4
    assert OUTCOMES["refused"] >= RENDERS / 20


def test_08_no_value_was_left_out():
    # Of the configuration, those too whose case has one.
    assert {path for path, _ in PLACES} - DRAWN == set()
    assert STRATEGIES.keys() <= {".".join(path) for path, _ in LEAVES}


def test_08_a_template_that_breaks_is_no_refusal():
    assert not REASON.search("executing at <$source.oauth>: nil pointer evaluating interface {}.client_secret_file")

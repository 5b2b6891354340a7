"""Imports point down only, and the inner layers import nothing that touches the world."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "connector"

MAY_IMPORT = {
    "__init__": set(),
    "errors": set(),
    "domain": {"errors"},
    "config": {"errors", "domain"},
    "protocol": {"errors", "domain"},
    "local": {"errors"},
    "emulator": {"errors", "domain", "protocol"},
    "adapters": {"errors", "domain", "config", "protocol"},
    "runtime": {"errors", "domain", "config", "protocol", "adapters"},
    "web": {"errors", "domain", "config", "adapters"},
    "verify": {"errors", "domain", "config"},
    "demo": {"errors", "domain", "config", "adapters", "emulator", "local"},
    "cli": {
        *("errors", "domain", "config", "protocol", "adapters", "runtime"),
        *("web", "verify", "demo", "emulator", "local"),
    },
    "__main__": {"cli"},
}
"""Layer: the other layers that it may import. Everybody may import the package itself, for its version."""

PURE = {"domain", "protocol"}
"""Layers without clock, socket, event loop, log or client library."""

PURE_MAY_IMPORT = {
    *("__future__", "bisect", "collections", "dataclasses", "datetime", "decimal", "enum", "functools", "hashlib"),
    *("heapq", "itertools", "json", "math", "operator", "re", "string", "typing", "uuid"),
    "msgspec",
}
IMPURE = {"now", "utcnow", "today", "uuid1", "uuid4", "open", "print", "__import__"}
"""What needs no import, or an allowed one, and still reads a clock, throws dice or touches the world."""


def imported(tree, package):
    """Dotted names of everything that a module of this package imports, at any level and for types only, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            above = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def called(tree):
    """The last names of all functions that are called."""
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    yield from (
        function.attr for function in functions if isinstance(function, ast.Attribute) and function.attr != "open"
    )
    yield from (function.id for function in functions if isinstance(function, ast.Name))


def violations(source, layer, package):
    """What this module may not do, one line for each."""
    tree = ast.parse(source)
    found = []
    for name in imported(tree, package):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if top == "connector":
            if target in MAY_IMPORT and target != layer and target not in MAY_IMPORT[layer]:
                found.append(f"{layer} imports {target}")
        elif layer in PURE and top not in PURE_MAY_IMPORT:
            found.append(f"{layer} imports {top}")
    if layer in PURE:
        found += [f"{layer} calls {name}" for name in called(tree) if name in IMPURE]
    return found


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield pytest.param(path, parts[0], ".".join(["connector", *parts[:-1]]), id="/".join(parts))


@pytest.mark.parametrize(("path", "layer", "package"), list(modules()))
def test_imports_point_down(path, layer, package):
    assert layer in MAY_IMPORT, f"new layer {layer}: say in MAY_IMPORT what it may import"
    assert violations(path.read_text(), layer, package) == []


def test_the_table_goes_down_only():
    above = set()
    for layer, below in reversed(MAY_IMPORT.items()):
        assert not below & (above | {layer})
        above.add(layer)


@pytest.mark.parametrize(
    ("source", "layer", "package", "found"),
    [
        ("import asyncio", "domain", "connector.domain", ["domain imports asyncio"]),
        ("from time import monotonic", "protocol", "connector.protocol", ["protocol imports time"]),
        ("import confluent_kafka as k", "domain", "connector.domain", ["domain imports confluent_kafka"]),
        ("def f():\n    import socket", "protocol", "connector.protocol", ["protocol imports socket"]),
        ("import logging.handlers", "domain", "connector.domain", ["domain imports logging"]),
        ("from datetime import datetime\ndatetime.now()", "domain", "connector.domain", ["domain calls now"]),
        ("from uuid import uuid4\nuuid4()", "domain", "connector.domain", ["domain calls uuid4"]),
        ("open('x')", "domain", "connector.domain", ["domain calls open"]),
        ("from connector.protocol import session", "domain", "connector.domain", ["domain imports protocol"]),
        ("from connector import runtime", "adapters", "connector.adapters", ["adapters imports runtime"]),
        ("import connector.cli.app", "runtime", "connector.runtime", ["runtime imports cli"]),
        ("from ..protocol import session", "local", "connector.local", ["local imports protocol"]),
        ("from .. import protocol", "local", "connector.local", ["local imports protocol"]),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from connector.adapters.kafka import Sink",
            "emulator",
            "connector.emulator",
            ["emulator imports adapters"],
        ),
        ("from connector import __version__", "domain", "connector.domain", []),
        ("from . import model\nfrom .model import Series", "domain", "connector.domain", []),
        ("from connector.domain.model import Series\nimport asyncio", "adapters", "connector.adapters", []),
    ],
)
def test_breaking_the_rule_is_found(source, layer, package, found):
    assert violations(source, layer, package) == found

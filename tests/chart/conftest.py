"""The wheels of the chart's tools, importable after everything else; skips what this machine cannot prove."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from chart.tools import can_define, wheels

sys.path.append(str(wheels()))
sys.path.append(str(Path(__file__).parent.parent / "acceptance"))

NEED_DEFINITIONS = ("test_04", "test_05", "test_06", "test_09_hostile")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Go, Java and Maven there are no definitions of custom resources."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.name.startswith(NEED_DEFINITIONS) and not can_define():
            item.add_marker(pytest.mark.skip(reason="no definitions of custom resources: needs Go, Java and Maven"))

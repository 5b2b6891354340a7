"""One secured broker for all tests of this folder, and stages around an open one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from connector.errors import LocalError

sys.path.insert(0, str(Path(__file__).parent.parent / "acceptance"))
sys.path.insert(0, str(Path(__file__).parent))

from rehearsal import fixtures, pytest_pyfunc_call

__all__ = ["make_stage", "pytest_pyfunc_call", "rehearsal", "secured"]

rehearsal, make_stage = fixtures(Path(__file__).parent)


def pytest_collection_modifyitems(items):
    """What asks for the secured broker needs Java, as everything with a broker does."""
    for item in items:
        if "secured" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def secured(tmp_path_factory):
    """The broker, with its administrator's client as ``admin``."""
    from secured import SecuredKafka

    try:
        broker = SecuredKafka(tmp_path_factory.mktemp("secured")).start()
    except LocalError as error:
        # Starting a server proves nothing, so it may be tried twice; a test may not.
        print(f"\nstarted a second time, since: {error}")
        broker = SecuredKafka(tmp_path_factory.mktemp("secured")).start()
    yield broker
    broker.stop()

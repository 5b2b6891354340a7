"""What every test can ask for: a real Kafka and a real registry, started once, when the first test needs them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, TypeVar

import figures
import leaks
import pytest

from connector.errors import LocalError
from connector.local.apicurio import Apicurio
from connector.local.kafka import Kafka

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Server = TypeVar("Server", Kafka, Apicurio)
GIVEN = ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL")
FIXTURES = {"kafka_bootstrap", "registry_url"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker, and skip it where there can be none."""
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)
        if item.get_closest_marker("kafka") and not _can_start_servers():
            item.add_marker(pytest.mark.skip(reason="no real Kafka: neither Java and Maven nor " + " and ".join(GIVEN)))


def pytest_deselected(items: list[pytest.Item]) -> None:
    """In CI nothing is left out."""
    if os.environ.get("CI") == "true":
        raise pytest.UsageError(f"{len(items)} tests were deselected; with CI=true all of them run")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """No credential of any connector that was run may have got out."""
    leaked = leaks.take()
    if leaks.searched:
        print(f"\n{len(leaks.searched)} logs, topics and environments searched for credentials: {len(leaked)} found")
    if leaked:
        print(*leaked, sep="\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, and the checks of the chart."""
    outcomes = {result: [one.nodeid for one in terminalreporter.stats.get(result, ())] for result in figures.RESULTS}
    for line in [*figures.take(), *figures.checks(outcomes)]:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """`bootstrap.servers` of a real broker; topics are not created by themselves and outlive the test."""
    given = os.environ.get(GIVEN[0])
    if given:
        yield given
        return
    kafka = _started(Kafka)
    yield kafka.bootstrap
    kafka.stop()


@pytest.fixture(scope="session")
def registry_url() -> Iterator[str]:
    """Base address of a real schema registry; subjects outlive the test."""
    given = os.environ.get(GIVEN[1])
    if given:
        yield given
        return
    registry = _started(Apicurio)
    yield registry.url
    registry.stop()


def _can_start_servers() -> bool:
    return all(os.environ.get(name) for name in GIVEN) or all(shutil.which(name) for name in ("java", "mvn"))


def _started(server: Callable[[], Server]) -> Server:
    # Starting a server proves nothing, so it may be tried twice; a test may not.
    try:
        return server().start()
    except LocalError as error:
        print(f"\nstarted a second time, since: {error}")
        return server().start()

"""One cluster and one pair of replicas for the whole tier; each test is one fault, judged by itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.cluster import Cluster
from faults.pair import Pair
from faults.results import Result, Run, save, table

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS: list[Result] = []


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def pair(cluster, tmp_path_factory) -> Iterator[Pair]:
    with Pair(cluster, tmp_path_factory.mktemp("pair")) as pair:
        pair.known = set()
        pair.start_both()
        yield pair


@pytest.fixture
def make_pair(cluster, tmp_path):
    """Makes pairs of their own for what cannot be undone."""
    pairs = []

    def make(**config):
        pair = Pair(cluster, tmp_path / str(len(pairs)), **config)
        pairs.append(pair)
        return pair.__enter__()

    yield make
    for pair in pairs:
        pair.close()
    cluster.heal()


@pytest.fixture
def make_run():
    """Makes runs of one fault, whose results become a row of the table."""

    def make(pair, fault):
        result = next((one for one in RESULTS if one.fault == fault), None)
        if result is None:
            result = Result(fault)
            RESULTS.append(result)
        return Run(pair, result)

    return make


@pytest.fixture
def run(pair, make_run, request):
    """One run on the pair that all share, made whole before and after."""
    pair.restore()
    yield make_run(pair, request.function.__doc__)
    pair.restore()


@pytest.fixture(autouse=True)
def tell(request, capsys):
    """Each row as soon as it is known."""
    before = {one.fault: one.runs for one in RESULTS}
    yield
    with capsys.disabled():
        for one in RESULTS:
            if one.runs != before.get(one.fault, 0):
                print("\n" + table([one]).splitlines()[-1])


def pytest_terminal_summary(terminalreporter):
    if RESULTS:
        save(RESULTS, Path(os.environ.get("FAULT_RESULTS", "build/fault-results.jsonl")))
        terminalreporter.write_line("\n" + table(RESULTS))

"""The golden set in the real broker, and the engines that read it: each is started once, two at a time."""

from __future__ import annotations

import contextlib
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from consume import engines, killed, streams, tables, tides
from consume.compaction import compact, remove
from consume.golden import Golden, load, narrow
from consume.registry import front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JOBS = ("flink", "spark", "streamed", "spark_of_death", "console", "lakehouse", "lakehouse_of_death", "tide")
"""Fixtures that are runs of an engine, the longest first."""


@pytest.fixture(scope="session")
def golden(kafka_bootstrap, registry_url) -> Golden:
    """The recorded hour, read-only: nobody writes under its prefix."""
    return load(kafka_bootstrap, registry_url)


@pytest.fixture(scope="session")
def asked() -> list[str]:
    """The paths that anybody asked one of the two fronts for."""
    return []


@pytest.fixture(scope="session")
def picky(registry_url, asked) -> Iterator[str]:
    """The registry behind a front that answers 405 to questions about associations, as some do."""
    with front(registry_url, asked, associations=405) as url:
        yield url


@pytest.fixture(scope="session")
def broken(registry_url, asked) -> Iterator[str]:
    """The same with 500, as others do."""
    with front(registry_url, asked, associations=500) as url:
        yield url


@pytest.fixture(scope="session")
def copies(kafka_bootstrap, registry_url, picky) -> tuple[Golden, Golden, Golden]:
    """The recorded hour three times, `latest` compacted by the broker; from the last of them series are removed."""
    prefix = f"compacted{uuid.uuid4().hex[:8]}"
    names = prefix, f"{prefix}.written", f"{prefix}.bereft"
    found = [load(kafka_bootstrap, registry_url, name) for name in names]
    narrow(found[1])
    compact(kafka_bootstrap, *(f"{one.prefix}.latest" for one in found))
    remove(found[2])
    first, second, third = (one._replace(registry=picky) for one in found)
    return first, second, third


@pytest.fixture(scope="session")
def compacted(copies) -> Golden:
    """The copy that is only read."""
    return copies[0]


@pytest.fixture(scope="session")
def written(copies) -> Golden:
    """The copy to which Kafka Streams and its test write."""
    return copies[1]


@pytest.fixture(scope="session")
def bereft(copies) -> Golden:
    """The copy whose `latest` got tombstones after it was compacted."""
    return copies[2]


@pytest.fixture(scope="session")
def death(kafka_bootstrap, broken, tmp_path_factory) -> killed.Killed:
    """An owner killed under load. It is over before any engine starts."""
    return killed.kill(kafka_bootstrap, broken, tmp_path_factory.mktemp("killed"))


class Runs:
    """Jobs that run two at a time, from now on."""

    def __init__(self, jobs: dict[str, Callable[[], Any]]) -> None:
        self._pool = ThreadPoolExecutor(2)
        self._futures = {name: self._pool.submit(self._timed, job) for name, job in jobs.items()}

    def result(self, name: str) -> tuple[Any, float]:
        """What a job found, and how many seconds it took beside another one."""
        return self._futures[name].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    @staticmethod
    def _timed(job: Callable[[], Any]) -> tuple[Any, float]:
        began = time.monotonic()
        return job(), time.monotonic() - began


@pytest.fixture(scope="session")
def runs(request, compacted, written, bereft, death, kafka_bootstrap, registry_url, tmp_path_factory) -> Iterator[Runs]:
    """The jobs that any collected test asks for."""
    folder = {name: tmp_path_factory.mktemp(name) for name in JOBS}
    dead = death.golden
    second = folder["flink"] / "second.sql"
    second.write_text(
        tables.queries()
        + engines.latest_sql("bereft", bereft)
        + engines.rows_sql("second", compacted, column="department_name")
        + engines.rows_sql("committed", dead)
        + engines.rows_sql("uncommitted", dead, isolation="read_uncommitted")
    )
    of_dead = {"AVERAGES": "false", "ISOLATION": "read_committed"}
    jobs = {
        "spark": lambda: engines.spark(compacted, folder["spark"]),
        "spark_of_death": lambda: engines.several(
            folder["spark_of_death"],
            ("committed", dead, of_dead),
            ("uncommitted", dead, of_dead | {"ISOLATION": "read_uncommitted"}),
        ),
        "flink": lambda: engines.flink(compacted, folder["flink"], "averages.sql", second),
        "streamed": lambda: streams.run(written, folder["streamed"]),
        "console": lambda: engines.console(compacted, f"{compacted.prefix}.metrics"),
        "lakehouse": lambda: engines.lakehouse(compacted, folder["lakehouse"], times=2),
        "lakehouse_of_death": lambda: engines.lakehouse(dead, folder["lakehouse_of_death"]),
        "tide": lambda: tides.run(kafka_bootstrap, registry_url, folder["tide"]),
    }
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    with contextlib.closing(Runs({name: jobs[name] for name in JOBS if name in wanted})) as started:
        yield started


@pytest.fixture(scope="session")
def spark(runs) -> Any:
    """Rows of Parquet, by folder; and seconds."""
    return runs.result("spark")


@pytest.fixture(scope="session")
def spark_of_death(runs) -> Any:
    """The same for the topics whose owner was killed, by isolation level."""
    return runs.result("spark_of_death")[0]


@pytest.fixture(scope="session")
def flink(runs) -> Any:
    """Rows by folder and changes by view; and seconds."""
    return runs.result("flink")


@pytest.fixture(scope="session")
def streamed(runs) -> streams.Streamed:
    """What Kafka Streams wrote."""
    return runs.result("streamed")[0]


@pytest.fixture(scope="session")
def console(runs) -> Any:
    """Raw values; and seconds."""
    return runs.result("console")


@pytest.fixture(scope="session")
def lakehouse(runs) -> Any:
    """What the loader printed each time, and the rows of its table; and seconds."""
    return runs.result("lakehouse")


@pytest.fixture(scope="session")
def lakehouse_of_death(runs) -> Any:
    """The same for the topics whose owner was killed."""
    return runs.result("lakehouse_of_death")[0]


@pytest.fixture(scope="session")
def tide(runs) -> tides.Tide:
    """What Flink's windows did in silence and after an outage."""
    return runs.result("tide")[0]

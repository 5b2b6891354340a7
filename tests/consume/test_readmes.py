"""The pages of the examples: every command is run by some test or by deps, and every version is the pinned one."""

from __future__ import annotations

import re

import pytest
from consume import engines, sizes
from consume.readme import EXAMPLES, PAGES, lines
from consume.report import locked, pom
from figures import tell

RUN = {
    "python": [engines.TAIL, engines.READER, engines.WALLBOARD],
    "flink": [engines.FLINK_TIMED, engines.FLINK_BOUNDED],
    "spark": [engines.SPARK],
    "streams": [engines.STREAMS_DESCRIBE, engines.STREAMS],
    "lakehouse": [engines.LAKEHOUSE],
    "kcat": [engines.KCAT],
    "ksqldb": [],
}
BUILD = {"flink": ["mvn", "javac"], "streams": ["mvn", "javac"], "spark": ["python", "mvn"], "lakehouse": ["python"]}
"""First words of what deps runs."""


@pytest.mark.parametrize("engine", RUN)
def test_every_command_of_a_page_is_run(engine):
    page = (EXAMPLES / engine / "README.md").read_text()
    shown = [
        line
        for block in re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    assert shown == lines(engine, "Build") + RUN[engine]
    assert [line.split()[0] for line in lines(engine, "Build")] == BUILD.get(engine, [])


def test_every_example_has_a_page():
    assert {page.parent.name for page in PAGES} == set(RUN)
    assert {path.parent.name for path in EXAMPLES.glob("*/*.*") if "__pycache__" not in path.parts} == set(RUN)


PINNED = {
    ("flink", r"Flink (\d\S*) with"): pom("flink", "flink-table-runtime"),
    ("flink", r"`flink-sql-connector-kafka` (\S+) and"): pom("flink", "flink-sql-connector-kafka"),
    ("flink", r"confluent-registry` (\S+);"): pom("flink", "flink-sql-avro-confluent-registry"),
    ("spark", r"PySpark (\d\S*) with"): locked("examples/spark/requirements.lock", "pyspark"),
    ("streams", r"Kafka Streams (\d\S*) \("): pom("streams", "kafka-streams"),
    ("lakehouse", r"PyIceberg (\d\S*) with"): locked("examples/lakehouse/requirements.lock", "pyiceberg"),
    ("lakehouse", r"DuckDB (\d[^ ;]*);"): locked("examples/lakehouse/requirements.lock", "duckdb"),
    ("python", r"schemaregistry\]==([^\"]+)"): locked("requirements.lock", "confluent-kafka"),
}


@pytest.mark.parametrize(("engine", "shown"), PINNED)
def test_the_version_shown_is_the_pinned_one(engine, shown):
    page = (EXAMPLES / engine / "README.md").read_text()
    assert re.search(shown, page).group(1) == PINNED[engine, shown]


def test_spark_and_its_jars_are_of_one_version():
    jars = {pom("spark", name) for name in ("spark-sql-kafka-0-10_2.13", "spark-avro_2.13")}
    assert jars == {locked("examples/spark/requirements.lock", "pyspark")}


def test_the_sizes_shown_are_those_on_this_disk():
    stated, measured = sizes.stated(), sizes.measured(sizes.FOLDERS)
    tell("downloaded and unpacked, MB: " + ", ".join(f"{name} {size:.0f}" for name, size in measured.items()))
    assert set(stated) == set(sizes.FOLDERS) | set(sizes.MORE)
    # Another file system, or compiled files that are not there yet, make a little difference.
    assert {name: size for name, size in measured.items() if not 0.8 < stated[name] / size < 1.25} == {}


def test_a_page_of_ksqldb_that_nobody_ran_says_so():
    page, statements = ((EXAMPLES / "ksqldb" / name).read_text() for name in ("README.md", "statements.sql"))
    assert "**untested**" in page
    assert statements.splitlines()[0].startswith("-- ksqlDB statements. UNTESTED")

"""Registry faults as the readers meet them: refused credentials, what is not there, and an outage after the start."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from pathlib import Path

import pytest
from consume import digest, engines, streams
from consume.arrivals import LATER, Again, recorded
from consume.golden import load
from consume.registry import front

PYTHON = ("tail", "reader", "wallboard")
COMMANDS = {
    "flink": engines.FLINK_BOUNDED,
    "spark": engines.SPARK,
    "streams": engines.STREAMS,
    "lakehouse": engines.LAKEHOUSE,
    "tail": engines.TAIL,
    "reader": engines.READER,
    "wallboard": engines.WALLBOARD,
}
"""Of the pages, as they stand."""
SAYS = {
    "flink": r"RestClientException: refused; error code: {status}01",
    "spark": r"HTTPError: HTTP Error {status}: ",
    "streams": r"/schemas/ids/\d+ answers {status} ",
    "lakehouse": r"SchemaRegistryError: refused \(HTTP status code {status}, SR code {status}01\)",
    "tail": r"^registry: HTTP {status}: refused$",
    "reader": r"^\S+: registry \S+: HTTP {status}: refused$",
    "wallboard": r"^\S+: registry \S+: HTTP {status}: refused$",
}
"""What a reader says of a refusal, with nothing else that could match."""
REFUSED = (401, 404)
MANY = len(recorded("metrics"))


def started(engine, golden, folder):
    """Environment and folder of a reader."""
    if engine in PYTHON:
        path = {"PATH": f"{Path(sys.executable).parent}:{engines.environment(golden, folder)['PATH']}"}
        return engines.environment(golden, folder, **path), engines.EXAMPLES / "python"
    there = engines.place(engine, folder)
    if engine in ("flink", "streams"):
        return engines.java_environment(golden, folder), there
    return engines.python_environment(engine, golden, folder), there


@pytest.fixture(scope="module")
def hour(kafka_bootstrap, registry_url):
    """The recorded hour, to which these tests write."""
    made = load(kafka_bootstrap, registry_url)
    streams.make_topics(made)
    return made


@pytest.mark.parametrize("status", REFUSED)
@pytest.mark.parametrize("engine", COMMANDS)
def test_a_reader_ends_and_says_why(engine, status, hour, registry_url, tmp_path):
    asked = []
    with front(registry_url, asked, schemas=status, subjects=status) as url:
        env, there = started(engine, hour._replace(registry=url), tmp_path)
        with pytest.raises(AssertionError) as ended:
            engines.finish(COMMANDS[engine], env, there)
    assert asked
    said = {one for one in REFUSED if re.search(SAYS[engine].format(status=one), str(ended.value), re.MULTILINE)}
    assert said == {status}, str(ended.value)


def expected():
    return digest.digest((one["json"] for one in recorded("metrics")), LATER)


def test_spark_asks_at_its_start_only(golden, registry_url, tmp_path):
    asked = []
    with front(registry_url, asked, last=("versions/2",)) as url:
        env, there = started("spark", golden._replace(registry=url), tmp_path)
        engines.finish(COMMANDS["spark"], env, there)
    assert asked[-1].endswith("/versions/2")
    assert digest.digest(engines.parquet(tmp_path)["metrics"], LATER) == expected()


def test_the_lakehouse_asks_for_each_schema_once(golden, registry_url, tmp_path):
    asked = []
    last = ("versions/latest", *(f"schemas/ids/{golden.ids[number]}" for number in (1, 6)))
    with front(registry_url, asked, last=last) as url:
        env, there = started("lakehouse", golden._replace(registry=url), tmp_path)
        engines.finish(COMMANDS["lakehouse"], env, there)
    assert len(asked) == len(last)
    assert digest.digest(engines.table(tmp_path / "lakehouse"), LATER) == expected()


def printed_rows(account):
    """How many updates of an account a reader printed."""
    return lambda lines: sum(json.loads(line)["account"] == account for line in list(lines))


def written_rows(hour):
    """The same of Kafka Streams, which writes them to a topic."""
    output = streams.Output(hour)
    return output, lambda account: lambda _: len(streams.of(output.rows(), account))


def away(engine, command, hour, registry_url, folder, rows_of):
    """Run a reader without an end, shut the registry down, and write more: it is read as well."""
    with contextlib.ExitStack() as ending:
        registry = ending.enter_context(contextlib.ExitStack())
        url = registry.enter_context(front(registry_url))
        env, there = started(engine, hour._replace(registry=url), folder)
        lines = ending.enter_context(engines.running(command, env, there))
        engines.wait_until(lambda: rows_of("acme")(lines) >= MANY, "the recorded hour")
        registry.close()
        again = Again(hour)
        again.write("gaps", f"away-{engine}")
        again.write("metrics", f"away-{engine}")
        engines.wait_until(lambda: rows_of(f"away-{engine}")(lines) >= MANY, "updates while the registry is away")
        assert rows_of(f"away-{engine}")(lines) == MANY


@pytest.mark.parametrize("engine", ["tail", "reader"])
def test_a_python_reader_goes_on_without_a_registry_once_it_knows_the_schemas(engine, hour, registry_url, tmp_path):
    command = COMMANDS[engine].replace("--until-end", "--json")
    assert command != COMMANDS[engine]
    away(engine, command, hour, registry_url, tmp_path, printed_rows)


def test_flink_goes_on_without_a_registry_once_it_knows_the_schemas(hour, registry_url, tmp_path):
    (tmp_path / "rows.sql").write_text("SELECT account, series, sequence FROM metrics;\n")
    command = engines.FLINK_TIMED.replace("averages.sql", str(tmp_path / "rows.sql"))
    away("flink", command, hour, registry_url, tmp_path, printed_rows)


def test_streams_goes_on_without_a_registry_once_it_knows_the_schemas(hour, registry_url, tmp_path):
    output, rows_of = written_rows(hour)
    with contextlib.closing(output):
        away("streams", COMMANDS["streams"], hour, registry_url, tmp_path, rows_of)

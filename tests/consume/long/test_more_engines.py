"""PyFlink, Iceberg written by Spark, and Spark called again: the golden rows, the field of version 2 included."""

from __future__ import annotations

import os
import time
from pathlib import Path

from consume import deps, digest, engines, sizes
from consume.arrivals import LATER, Again, recorded
from consume.golden import load
from consume.long import more
from consume.report import compare
from figures import tell

PROGRAMS = Path(__file__).parents[1] / "programs"
LAKE = "spark.sql.catalog.lake"


def expected():
    return digest.digest((one["json"] for one in recorded("metrics")), LATER)


def test_pyflink(compacted, tmp_path):
    python = more.pyflink()
    (tmp_path / "rows.sql").write_text(engines.rows_sql("pyflink", compacted, column="department_name"))
    env = engines.environment(compacted, tmp_path, JDK_JAVA_OPTIONS="-Xmx1g")
    env["PATH"] = f"{python.parent}:{os.environ['PATH']}"
    began = time.monotonic()
    engines.finish(f"python {PROGRAMS / 'pyflink_rows.py'} {tmp_path / 'rows.sql'} {deps.libs('flink')}", env)
    files = [path for path in (tmp_path / "rows-pyflink").iterdir() if not path.name.startswith(".")]
    rows = engines.json_lines(files)
    assert compare("PyFlink", rows, time.monotonic() - began, compacted.expected["metrics"])
    assert digest.digest(rows, LATER) == expected()


def test_iceberg_through_spark(compacted, tmp_path):
    jar = more.iceberg()
    there = engines.place("spark", tmp_path)
    settings = {LAKE: "org.apache.iceberg.spark.SparkCatalog", f"{LAKE}.type": "hadoop", f"{LAKE}.warehouse": tmp_path}
    confs = " ".join(f"--conf {name}={value}" for name, value in settings.items())
    command = engines.SPARK.replace("--jars", f"{confs} --jars").replace("libs/*.jar", f"{jar} libs/*.jar")
    command = command.replace("metrics_to_parquet.py", str(PROGRAMS / "iceberg_by_spark.py"))
    env = engines.python_environment("spark", compacted, tmp_path, PYTHONPATH=str(there))
    began = time.monotonic()
    engines.finish(command, env, there)
    seconds = time.monotonic() - began
    metadata = tmp_path / "chat" / "metrics" / "metadata"
    newest = metadata / f"v{(metadata / 'version-hint.text').read_text().strip()}.metadata.json"
    rows = engines.table(newest)
    assert compare("Iceberg", rows, seconds, compacted.expected["metrics"], ", written by Spark, read by PyIceberg")
    assert digest.digest(rows, LATER) == expected()


def test_spark_goes_on_behind_its_checkpoint(kafka_bootstrap, registry_url, tmp_path):
    hour = load(kafka_bootstrap, registry_url)
    first = engines.spark(hour, tmp_path)["metrics"]
    assert digest.digest(first, LATER) == expected()
    again = Again(hour).write("metrics", "later")
    rows = engines.spark(hour, tmp_path)["metrics"]
    assert len(rows) == len(first) + again == 2 * len(first)
    assert digest.digest([row for row in rows if row["account"] == "acme"], LATER) == expected()


def test_the_sizes_shown_are_those_on_this_disk():
    stated, measured = sizes.stated(), sizes.measured(sizes.MORE)
    tell("downloaded and unpacked, MB: " + ", ".join(f"{name} {size:.0f}" for name, size in measured.items()))
    assert {name: size for name, size in measured.items() if not 0.8 < stated[name] / size < 1.25} == {}

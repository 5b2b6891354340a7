"""PyFlink, and Iceberg written by Spark: the golden rows, the field of version 2 included."""

from __future__ import annotations

import os
import time
from pathlib import Path

from consume import deps, digest, engines
from consume.arrivals import LATER, recorded
from consume.long import more

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
    print(f"pyflink: {len(rows)} rows in {time.monotonic() - began:.1f} s")
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
    print(f"iceberg through spark: {len(rows)} rows in {seconds:.1f} s")
    assert digest.digest(rows, LATER) == expected()

"""Runs the examples of the engines by the commands of their pages, and gives back what they read."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections import defaultdict
from pathlib import Path

import waiting
from consume import deps
from consume.readme import EXAMPLES, lines

from connector.local import maven

JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:ActiveProcessorCount=2")
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
LIMIT = 300
"""Seconds until an engine counts as hanging; a multiple of what it needs."""
SEVERAL = Path(__file__).parent / "programs" / "several.py"
PARQUET = Path(__file__).parent / "programs" / "parquet.py"
TABLE = Path(__file__).parent / "programs" / "table.py"
FLINK_TIMED, FLINK_BOUNDED = lines("flink", "Run")
(SPARK,) = lines("spark", "Run")
(LAKEHOUSE,) = lines("lakehouse", "Run")
STREAMS_DESCRIBE, STREAMS = lines("streams", "Run")
TAIL, READER, WALLBOARD = lines("python", "Run")
(KCAT,) = lines("kcat", "Run")


def environment(golden, folder, **settings):
    return {**os.environ, **golden.environment, "OUT": str(folder), **settings}


def java_environment(golden, folder, **settings):
    return environment(golden, folder, JDK_JAVA_OPTIONS=" ".join((*JVM, QUIET)), **settings)


def python_environment(engine, golden, folder, **settings):
    path = f"{deps.python(engine).parent}:{os.environ['PATH']}"
    return environment(golden, folder, PATH=path, SPARK_LOCAL_IP="127.0.0.1", **settings)


def place(engine, folder):
    """A copy of the example in which its page's commands of "Build" were run."""
    there = folder / f"example-{engine}"
    shutil.copytree(EXAMPLES / engine, there, ignore=shutil.ignore_patterns("__pycache__"))
    if (there / "pom.xml").exists():
        (there / "libs").symlink_to(deps.libs(engine))
    if list(there.glob("*.java")):
        (there / "classes").symlink_to(deps.classes(engine))
    return there


def finish(command, env, cwd=None):
    """Run a command line to its end; its output."""
    # A group of its own: a shell that is killed leaves its program behind.
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=cwd, env=env, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        printed, errors = process.communicate(timeout=LIMIT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, printed[-4000:] + errors[-4000:]
    return printed


def json_lines(paths):
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def console(golden, topic):
    """The raw values of a topic, by Kafka's own console consumer."""
    end = "--end-of-record--"
    command = [
        # The log goes to the same place as the values: that it waited in vain for more is no news.
        maven.java(), "-Xmx256m", *JVM, "-Dlog4j2.level=OFF", "-cp", f"{maven.kafka_jars()}/*",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "--bootstrap-server", golden.kafka, "--topic", topic, "--from-beginning", "--timeout-ms", "15000",
        "--isolation-level", "read_committed", "--formatter-property", f"line.separator={end}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False, timeout=LIMIT)
    *values, rest = done.stdout.split(end.encode())
    assert not rest, (rest, done.stderr[-2000:])
    return values


def flink(golden, folder, *files):
    """Run the page's bounded command, and more files of SQL in the same process.

    Gives the rows that each INSERT wrote, by folder below OUT, and the changes of each SELECT, by view.
    """
    more = " ".join(str(file) for file in files)
    printed = finish(f"{FLINK_BOUNDED} {more}", java_environment(golden, folder), place("flink", folder))
    rows = {
        there.name: json_lines(path for path in sorted(there.iterdir()) if not path.name.startswith("."))
        for there in folder.iterdir()
        if there.name.startswith("rows")
    }
    return rows, views(printed.splitlines())


def rows_sql(name, golden, *, column=None, isolation="read_committed"):
    """The example's tables and rows once more, as SQL: in a database of its own, below OUT/rows-{name}.

    ``column``: a text that a later version appended.
    """
    tables = (EXAMPLES / "flink" / "tables.sql").read_text()
    table = re.search(r"CREATE TABLE metrics \(.*?\n\);\n", tables, re.DOTALL).group()
    rows = (EXAMPLES / "flink" / "rows.sql").read_text().replace("/rows'", f"/rows-{name}'")
    if column:
        table = table.replace("  batch_id BIGINT NOT NULL,\n", f"  batch_id BIGINT NOT NULL,\n  {column} STRING,\n")
        rows = rows.replace("  batch_id BIGINT\n", f"  batch_id BIGINT,\n  {column} STRING\n")
        rows = rows.replace("frame, batch_id\n", f"frame, batch_id, {column}\n")
        assert (table + rows).count(column) == 3
    return filled(f"CREATE DATABASE `{name}`;\nUSE `{name}`;\n{table}\n{rows}", golden, isolation)


def latest_sql(name, golden):
    """The example's view of `latest` once more, of another prefix, as SQL."""
    tables = (EXAMPLES / "flink" / "tables.sql").read_text()
    table = re.search(r"CREATE TABLE latest \(.*?\n\);\n", tables, re.DOTALL).group()
    view = (EXAMPLES / "flink" / "latest.sql").read_text().replace("'latest'", f"'{name}'")
    assert f"'{name}'" in view
    return filled(f"CREATE DATABASE `{name}`;\nUSE `{name}`;\n{table}\n{view}", golden, "read_committed")


def filled(text, golden, isolation):
    settings = {**golden.environment, "ISOLATION": isolation, "BOUNDED": "latest-offset"}
    for variable, value in settings.items():
        text = re.sub(rf"\$\{{{variable}(:-[^}}]*)?\}}", value, text)
    return text


def views(printed):
    """What SELECTs printed: view -> [(kind of change, row)]."""
    found = defaultdict(list)
    for line in printed:
        row = json.loads(line)
        found[row.pop("view")].append((row.pop("op"), row))
    return found


def newest(changes, key="k"):
    """The rows that a changelog leaves."""
    rows = {}
    for op, row in changes:
        if op in ("+I", "+U"):
            rows[row[key]] = row
        elif op == "-D":
            rows.pop(row[key], None)
    return rows


def spark(golden, folder):
    """Run the page's command as it stands; the Parquet that it wrote."""
    there = folder / "example-spark"
    finish(SPARK, spark_environment(golden, folder), there if there.exists() else place("spark", folder))
    return parquet(folder)


def spark_environment(golden, folder, **settings):
    return python_environment("spark", golden, folder, JDK_JAVA_OPTIONS=" ".join(JVM), **settings)


def several(folder, *runs):
    """Run the page's command with the job of several prefixes in one process; the Parquet of each, by name.

    ``runs``: (name, golden, more environment).
    """
    questions = [{**golden.environment, "OUT": str(folder / name), **more} for name, golden, more in runs]
    command = SPARK.replace("metrics_to_parquet.py", f"{SEVERAL} '{json.dumps(questions)}'")
    assert command != SPARK
    there = place("spark", folder)
    finish(command, spark_environment(runs[0][1], folder, PYTHONPATH=str(there)), there)
    return {name: parquet(folder / name) for name, _, _ in runs}


def parquet(folder):
    """Rows of the folders metrics and, if it is there, averages, read by the lakehouse's Python."""
    printed = finish(f"{deps.python('lakehouse')} {PARQUET} {folder}", dict(os.environ))
    return json.loads(printed)


def lakehouse(golden, folder, times=1):
    """Run the page's command: what it printed each time, and the rows of the table by its Iceberg metadata alone."""
    env = python_environment("lakehouse", golden, folder)
    printed = [finish(LAKEHOUSE, env, EXAMPLES / "lakehouse") for _ in range(times)]
    return printed, table(folder / "lakehouse")


def table(where):
    """Rows of an Iceberg table, by its catalog's folder or its metadata file."""
    return json.loads(finish(f"{deps.python('lakehouse')} {TABLE} {where}", dict(os.environ)))


@contextlib.contextmanager
def running(command, env, cwd):
    """A command line that runs until the block ends, then gets SIGTERM. Gives a list that its lines are added to."""
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=cwd, env=env, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    printed, errors = [], []
    threads = [
        threading.Thread(target=collect, args=(process.stdout, printed)),
        threading.Thread(target=collect, args=(process.stderr, errors)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield printed
        assert process.poll() is None, f"ended with {process.returncode}: {''.join(errors)[-4000:]}"
    finally:
        end(process)
        for thread in threads:
            thread.join()
        process.stdout.close()
        process.stderr.close()


def end(process):
    """SIGTERM to all of the command's processes, in the end SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
            return


def collect(stream, found):
    found.extend(iter(stream.readline, ""))


def wait_until(condition, what, seconds=LIMIT):
    """Poll until the condition gives something true, for as long as an engine may take."""
    return waiting.wait_until(condition, seconds, what)

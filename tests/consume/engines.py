"""Runs the examples of the engines as they stand, one after another, and gives back what they read."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections import defaultdict

from consume import deps
from consume.deps import EXAMPLES

from connector.local import maven

JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:ActiveProcessorCount=2")
# What Flink's own scripts open for Java 17.
OPENS = tuple(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("lang", "util", "time"))
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
LIMIT = 240
"""Seconds until an engine counts as hanging; a multiple of what it needs."""


def environment(golden, folder, **settings):
    return {**os.environ, **golden.environment, "OUT": str(folder), **settings}


def finish(command, env):
    """Run a program to its end; its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=LIMIT)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


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


def flink_command(*files):
    path = f"{deps.classes('flink')}:{deps.jars('flink')}/*"
    return [maven.java(), "-Xmx1g", *JVM, *OPENS, QUIET, "-cp", path, "RunSql", *map(str, files)]


def flink(golden, folder, *files, **settings):
    """Run files of SQL to the end of the topics. Rows of the folder that they wrote, and of their SELECTs by view."""
    env = environment(golden, folder, BOUNDED="latest-offset", **settings)
    printed = finish(flink_command(*(EXAMPLES / "flink" / name for name in files)), env)
    rows = json_lines(path for path in sorted(folder.glob("rows/*")) if not path.name.startswith("."))
    return rows, views(printed.splitlines())


def views(lines):
    """What SELECTs printed: view -> [(kind of change, row)]."""
    found = defaultdict(list)
    for line in lines:
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


def spark(golden, folder, **settings):
    """The rows that the job wrote as Parquet."""
    jars = [str(jar) for jar in sorted(deps.jars("spark").glob("*.jar"))]
    python = deps.python("spark")
    env = environment(golden, folder, **settings) | {
        "PYSPARK_PYTHON": str(python),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_SUBMIT_ARGS": f"--master local[2] --driver-memory 1g --conf spark.ui.enabled=false "
        f"--jars {','.join(jars)} pyspark-shell",
    }
    finish([str(python), str(EXAMPLES / "spark" / "metrics_to_parquet.py")], env)
    return parquet(folder / "metrics"), parquet(folder / "averages") if (folder / "averages").exists() else []


def parquet(folder):
    """Rows of Parquet files, read by the lakehouse's Python."""
    program = (
        "import json, sys, pyarrow.parquet as parquet\n"
        "for row in parquet.read_table(sys.argv[1]).to_pylist(): print(json.dumps(row, default=str))"
    )
    printed = finish([str(deps.python("lakehouse")), "-c", program, str(folder)], dict(os.environ))
    return [json.loads(line) for line in printed.splitlines()]


def lakehouse(golden, folder):
    """What the loader printed, and the rows of its table, by the Iceberg metadata alone."""
    python = str(deps.python("lakehouse"))
    printed = finish([python, str(EXAMPLES / "lakehouse" / "metrics_to_iceberg.py")], environment(golden, folder))
    program = (
        "import json, sys\n"
        "from pyiceberg.catalog.sql import SqlCatalog\n"
        "catalog = SqlCatalog('zendesk', uri=f'sqlite:///{sys.argv[1]}/catalog.db')\n"
        "rows = catalog.load_table('chat.metrics').scan().to_arrow().to_pylist()\n"
        "for row in rows: print(json.dumps(row, default=str))"
    )
    rows = finish([python, "-c", program, str(folder / "lakehouse")], dict(os.environ))
    return printed, [json.loads(line) for line in rows.splitlines()]


@contextlib.contextmanager
def running(command, env):
    """A program that runs until the block ends, then gets SIGTERM. Gives a list that its lines are added to."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    lines, errors = [], []
    threads = [
        threading.Thread(target=collect, args=(process.stdout, lines)),
        threading.Thread(target=collect, args=(process.stderr, errors)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield lines
        assert process.poll() is None, f"ended with {process.returncode}: {''.join(errors)[-4000:]}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for thread in threads:
            thread.join()
        process.stdout.close()
        process.stderr.close()


def collect(stream, lines):
    lines.extend(iter(stream.readline, ""))


def streams_command(*arguments):
    path = f"{deps.classes('streams')}:{deps.jars('streams')}/*"
    return [maven.java(), "-Xmx512m", *JVM, QUIET, "-cp", path, "SeriesState", *arguments]


def wait_until(condition, what, seconds=LIMIT):
    """Poll until the condition gives something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.25)
    raise AssertionError(f"not within {seconds} s: {what}")

"""Run a file of SQL with PyFlink, as RunSql.java does, jars of a folder added: ``pyflink_rows.py FILE FOLDER``."""

import os
import re
import sys
from pathlib import Path

from pyflink.table import EnvironmentSettings, TableEnvironment

# The rest is in PyFlink itself.
JARS = ("flink-sql-connector-kafka-*.jar", "flink-sql-avro-confluent-registry-*.jar", "flink-connector-base-*.jar")

if __name__ == "__main__":
    text = re.sub(r"(?m)^\s*--.*$", "", Path(sys.argv[1]).read_text())
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: os.environ.get(*found.groups()), text)
    jars = [jar.as_uri() for pattern in JARS for jar in Path(sys.argv[2]).glob(pattern)]
    flink = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    settings = {"pipeline.jars": ";".join(jars), "parallelism.default": "1", "table.local-time-zone": "UTC"}
    for name, value in settings.items():
        flink.get_config().set(name, value)
    for statement in re.split(r";\s*\n", text):
        if statement.strip():
            result = flink.execute_sql(statement.strip())
            if statement.strip().startswith("INSERT"):
                result.wait()

"""The connector as the demo starts it: it loads at once, waits for its configuration, provisions and runs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from connector.adapters.admin import Admin, refuse, topics_of
from connector.adapters.registry import SchemaRegistry
from connector.adapters.schema_files import by_topic
from connector.cli.console import print_error
from connector.cli.run import run
from connector.config import load
from connector.errors import ConnectorError

TOPICS_EXIST = "--topics-exist"
"""Argument for a broker that creates no topics on request."""


def main(config_file: Path, *, topics_exist: bool) -> int:
    """Run until a signal; the exit code."""
    try:
        while not config_file.exists():
            time.sleep(0.01)
        _provision(config_file, topics_exist=topics_exist)
        run(config_file)
    except ConnectorError as error:
        print_error(str(error))
        return error.exit_code
    return 0


def _provision(config_file: Path, *, topics_exist: bool) -> None:
    config = load(config_file, os.environ)
    metrics = config.metrics_topics()
    if not topics_exist:
        found = Admin(config.kafka, strict=False).provision(topics_of(config, metrics))
        refuse([difference for topic in found for difference in topic.differences])
    registry = SchemaRegistry(config.registry)
    registry.register_all(by_topic(config.names, metrics))
    registry.close()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), topics_exist=TOPICS_EXIST in sys.argv[2:]))

"""How much the readers' programs take on this disk: `python -m consume.sizes` (with tests/ on the path)."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from consume import deps, parser
from consume.long import more
from consume.readme import EXAMPLES

from connector.local import maven

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = EXAMPLES.parent / "docs" / "consumers.md"
FOLDERS: dict[str, Callable[[], Path]] = {
    "Kafka": maven.kafka_jars,
    "Apicurio Registry": maven.apicurio_app,
    "Flink: jars": lambda: deps.libs("flink"),
    "Kafka Streams: jars": lambda: deps.libs("streams"),
    "PySpark": lambda: deps.python("spark").parents[1],
    "Spark: jars": lambda: deps.libs("spark"),
    "PyIceberg, DuckDB, Arrow": lambda: deps.python("lakehouse").parents[1],
    "AsyncAPI's parser": parser.installed,
}
"""What `make deps` fetches."""
MORE: dict[str, Callable[[], Path]] = {
    "PyFlink": lambda: more.pyflink().parents[1],
    "Iceberg for Spark": lambda: more.iceberg().parent,
}
"""What `make consume-long` fetches besides."""


def megabytes(folder: Path) -> float:
    """What the files take, links not followed, as `du` counts it, in units of 2^20 bytes."""
    found, total = set(), 0
    for there, _, names in os.walk(folder):
        for name in names:
            stat = os.lstat(f"{there}/{name}")
            if stat.st_ino not in found:
                found.add(stat.st_ino)
                total += 512 * stat.st_blocks
    return total / 2**20


def stated() -> dict[str, int]:
    """What the page says."""
    lines = re.findall(r"^\| ([^|]+) \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: int(number) for name, number in lines}


def measured(folders: dict[str, Callable[[], Path]]) -> dict[str, float]:
    """What is there."""
    return {name: megabytes(folder()) for name, folder in folders.items()}


if __name__ == "__main__":
    for name, size in measured(FOLDERS | (MORE if "--long" in sys.argv else {})).items():
        print(f"| {name} | {size:.0f} |")

"""What Kafka's own Java producer says about keys: the committed vectors, and how they are computed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from connector.local import maven

HERE = Path(__file__).parent
COUNTS = range(1, 65)
"""Numbers of partitions."""


def partitions() -> dict[str, list[int]]:
    """Key -> its partition among 1, 2, … 64 partitions."""
    return parsed((HERE / "partitions.tsv").read_text(encoding="utf-8"))


def computed() -> dict[str, list[int]]:
    """The same, by kafka-clients, now."""
    command = [maven.java(), "-Xmx256m", "-Dfile.encoding=UTF-8", "-cp", f"{maven.kafka_jars()}/*"]
    done = subprocess.run([*command, str(HERE / "Partitions.java")], capture_output=True, check=True, timeout=120)
    return parsed(done.stdout.decode())


def parsed(text: str) -> dict[str, list[int]]:
    """Lines of key, tab and 64 numbers."""
    lines = [line.split("\t") for line in text.splitlines()]
    return {key: list(map(int, numbers.split())) for key, numbers in lines}

"""Avro's own judgement in Java: which schema can read what which other one wrote."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connector.local import maven

if TYPE_CHECKING:
    from collections.abc import Mapping

AVRO = "org.apache.avro:avro:1.12.1"


def jar() -> Path:
    """The folder with Avro's jar, filled at the first call; what it needs comes with Kafka's jars."""
    return maven._cached("avro", AVRO.encode(), _copy)


def _copy(folder: Path) -> None:
    maven._maven("dependency:copy", f"-Dartifact={AVRO}", f"-DoutputDirectory={folder}")


def judged(schemas: Mapping[str, dict[str, Any]], folder: Path) -> dict[tuple[str, str], bool]:
    """(reader, writer) -> whether the one can read what the other wrote, for all pairs, both ways."""
    files = {}
    for number, (name, schema) in enumerate(schemas.items()):
        file = folder / f"{number}.avsc"
        file.write_text(json.dumps(schema))
        files[str(file)] = name
    path = f"{jar()}/*:{maven.kafka_jars()}/*"
    command = [maven.java(), "-Xmx256m", "-cp", path, str(Path(__file__).with_name("Judge.java")), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    verdicts = {}
    for line in done.stdout.splitlines():
        reader, writer, verdict = line.split("\t")
        verdicts[files[reader], files[writer]] = verdict == "COMPATIBLE"
    return verdicts


if __name__ == "__main__":
    print(jar())

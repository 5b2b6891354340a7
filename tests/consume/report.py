"""What a reader did, told at the end of the run: the figures of docs/consumers.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import confluent_kafka
from consume import digest
from consume.readme import EXAMPLES
from figures import tell

from connector.local import maven

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ROOT = EXAMPLES.parent
HERE = Path(__file__).parent


def pom(engine: str, artifact: str) -> str:
    """The version of an artifact in examples/{engine}/pom.xml."""
    return artifact_version(EXAMPLES / engine / "pom.xml", artifact)


def artifact_version(file: Any, artifact: str) -> str:
    """The version of an artifact in a pom."""
    text = file.read_text()
    version = re.search(rf"<artifactId>{re.escape(artifact)}</artifactId>\s*<version>([^<]+)", text).group(1)
    named = re.fullmatch(r"\$\{(.+)}", version)
    return re.search(rf"<{named.group(1)}>([^<]+)<", text).group(1) if named else version


def locked(path: str, package: str) -> str:
    """The version of a package in a lock file of the repository."""
    return re.search(rf"^{package}(?:\[[^]]*\])?==(\S+)", (ROOT / path).read_text(), re.MULTILINE).group(1)


VERSIONS = {
    "confluent-kafka": confluent_kafka.__version__,
    "console consumer": artifact_version(maven.POM, "kafka-tools"),
    "Kafka Streams": pom("streams", "kafka-streams"),
    "Flink SQL": pom("flink", "flink-table-runtime"),
    "Spark": locked("examples/spark/requirements.lock", "pyspark"),
    "PyIceberg": locked("examples/lakehouse/requirements.lock", "pyiceberg"),
    "Iceberg": artifact_version(HERE / "long" / "iceberg.pom.xml", "iceberg-spark-runtime-4.1_2.13"),
    "PyFlink": locked("tests/consume/long/pyflink.lock", "apache-flink"),
}
"""Reader -> the version that is run."""


def compare(
    reader: str, rows: Collection[Mapping[str, Any]], seconds: float, expected: Mapping[str, Any], what: str = ""
) -> bool:
    """Whether these are the expected rows, by digest; tells reader, version, rows, digest equal or not, seconds."""
    found = {"rows": len(rows), "digest": digest.digest(rows)}
    equal = found == expected
    verdict = "equal" if equal else f"DIFFERENT, {expected['rows']} rows are expected"
    tell(f"{reader} {VERSIONS[reader]}{what}: {len(rows):,} rows, digest {verdict}, {seconds:.1f} s")
    return equal

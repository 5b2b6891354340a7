"""Fetch the Java programs that the demo and the tests start, with Maven and the user's own Maven settings."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from connector.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable

POM = Path(__file__).with_name("pom.xml")
# The newest version whose classes run on Java 17, which is what Kafka needs too.
APICURIO = "io.apicurio:apicurio-registry-app:3.0.9:tar.gz:all"
REMEDY = "install Java 17 or newer and Maven (Debian: apt-get install openjdk-17-jre-headless maven)"


def java() -> str:
    """Path of the Java runtime; LocalError if there is none."""
    return program("java")


def program(name: str) -> str:
    """Path of a program of this machine; LocalError with the remedy if it is missing."""
    found = shutil.which(name)
    if found is None:
        raise LocalError(f"{name} was not found: {REMEDY}")
    return found


def kafka_jars() -> Path:
    """The folder with Kafka's jars, filled at the first call; LocalError if Maven fails."""
    return _cached("kafka", POM.read_bytes(), _copy_kafka)


def apicurio_app() -> Path:
    """The folder of the unpacked Apicurio registry, filled at the first call; LocalError if Maven fails."""
    return _cached("apicurio", APICURIO.encode(), _copy_apicurio)


def cache_folder() -> Path:
    """Where downloads are kept between runs."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "zendesk-chat-kafka"


def _cached(thing: str, fingerprint: bytes, fill: Callable[[Path], None]) -> Path:
    target = cache_folder() / f"{thing}-{hashlib.sha256(fingerprint).hexdigest()[:12]}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{thing}-") as scratch:
            content = Path(scratch) / thing
            content.mkdir()
            fill(content)
            _publish(content, target)
    return target


def _publish(content: Path, target: Path) -> None:
    try:
        content.rename(target)
    except OSError:
        # Another process was quicker, which is as good.
        if not target.is_dir():
            raise


def _copy_kafka(folder: Path) -> None:
    _maven("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}")


def _copy_apicurio(folder: Path) -> None:
    _maven("dependency:copy", f"-Dartifact={APICURIO}", f"-DoutputDirectory={folder}")
    for archive in folder.glob("*.tar.gz"):
        _run([program("tar"), "-xzf", str(archive), "-C", str(folder)])
        archive.unlink()


def _maven(*arguments: str) -> None:
    _run([program("mvn"), "--quiet", "--batch-mode", "-Dstyle.color=never", "--file", str(POM), *arguments])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        reason = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no output")
        raise LocalError(f"{Path(command[0]).name} failed: {reason}; {REMEDY}")

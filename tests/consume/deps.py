"""Where the readers' programs are, fetched at the first call: `python -m consume.deps` (with tests/ on the path).

Jars through Maven, Python through pip with hashes, into the cache of connector.local, filled aside and renamed.
Downloads: Flink 164 MB, PySpark 456 MB and its jars 10 MB, Kafka Streams 98 MB, PyIceberg with DuckDB 100 MB.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from connector.errors import LocalError
from connector.local import maven

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"


def jars(engine: str) -> Path:
    """The folder with the jars of examples/{engine}/pom.xml."""
    pom = EXAMPLES / engine / "pom.xml"
    return maven._cached(f"{engine}-jars", pom.read_bytes(), lambda folder: _copy_jars(pom, folder))


def classes(engine: str) -> Path:
    """The folder with the compiled classes of examples/{engine}/*.java."""
    sources = sorted((EXAMPLES / engine).glob("*.java"))
    return maven._cached(
        f"{engine}-classes",
        (EXAMPLES / engine / "pom.xml").read_bytes() + b"".join(source.read_bytes() for source in sources),
        lambda folder: _compile(sources, f"{jars(engine)}/*", folder),
    )


def python(engine: str) -> Path:
    """The interpreter of the virtual environment of examples/{engine}/requirements.lock."""
    lock = EXAMPLES / engine / "requirements.lock"
    first = HERE / f"{engine}-build.lock"
    known = lock.read_bytes() + (first.read_bytes() if first.exists() else b"") + sys.version.encode()
    return maven._cached(f"{engine}-venv", known, lambda folder: _install(folder, first, lock)) / "bin" / "python"


def _copy_jars(pom, folder):
    _run("mvn", "--quiet", "--batch-mode", "-Dstyle.color=never", "--file", pom, "dependency:copy-dependencies",
         "-DincludeScope=runtime", f"-DoutputDirectory={folder}")  # fmt: skip


def _compile(sources, path, folder):
    _run("javac", "-cp", path, "-d", folder, *sources)


def _install(folder, first, lock):
    _run(sys.executable, "-m", "venv", folder)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
           "--no-cache-dir", "--require-hashes"]  # fmt: skip
    # What a source distribution is built with is locked, too.
    isolation = []
    if first.exists():
        _run(*pip, "-r", first)
        isolation = ["--no-build-isolation"]
    _run(*pip, *isolation, "-r", lock)


def _run(*command):
    try:
        maven._run([maven.program(str(command[0])), *map(str, command[1:])])
    except LocalError as error:
        raise LocalError(f"{error} (javac: openjdk-17-jdk-headless)") from None


def main() -> int:
    """Print where everything is; otherwise the reason, with the exit code of a LocalError."""
    try:
        print(classes("flink"), jars("spark"), classes("streams"), sep="\n")
        print(python("spark"), python("lakehouse"), sep="\n")
    except (LocalError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, LocalError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

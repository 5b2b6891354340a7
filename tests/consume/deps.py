"""Where the readers' programs are, fetched at the first call: `python -m consume.deps` (with tests/ on the path).

What is run is what the examples' pages say under "Build"; it is kept in the cache of connector.local, filled aside and
renamed. The sizes are in docs/consumers.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from consume.readme import EXAMPLES, lines

from connector.errors import LocalError
from connector.local import maven

if TYPE_CHECKING:
    from pathlib import Path


def libs(engine: str) -> Path:
    """The folder with the jars of examples/{engine}/pom.xml."""
    pom = EXAMPLES / engine / "pom.xml"
    command = build(engine, "mvn")
    known = pom.read_bytes() + command.encode()
    return maven._cached(f"{engine}-libs", known, lambda folder: _copy_jars(pom, command, folder)) / "libs"


def classes(engine: str) -> Path:
    """The folder with the compiled classes of examples/{engine}/*.java."""
    sources = sorted((EXAMPLES / engine).glob("*.java"))
    command = build(engine, "javac")
    known = b"".join(path.read_bytes() for path in (EXAMPLES / engine / "pom.xml", *sources)) + command.encode()
    fill = lambda folder: _compile(engine, sources, command, folder)  # noqa: E731
    return maven._cached(f"{engine}-java", known, fill) / "classes"


def python(engine: str) -> Path:
    """The interpreter of the virtual environment of examples/{engine}/requirements.lock."""
    lock = EXAMPLES / engine / "requirements.lock"
    first = EXAMPLES / engine / "build.lock"
    known = lock.read_bytes() + (first.read_bytes() if first.exists() else b"") + sys.version.encode()
    return maven._cached(f"{engine}-venv", known, lambda folder: _install(engine, folder, first)) / "bin" / "python"


def build(engine: str, program: str) -> str:
    """The command of the page that begins with this program."""
    (found,) = [line for line in lines(engine, "Build") if line.split()[0] == program]
    return found


def _copy_jars(pom, command, folder):
    shutil.copy(pom, folder)
    _run(command, folder)


def _compile(engine, sources, command, folder):
    for source in sources:
        shutil.copy(source, folder)
    (folder / "libs").symlink_to(libs(engine))
    _run(command, folder)


def _install(engine, folder, first):
    _run(f"{sys.executable} -m venv {folder}", folder)
    pip = "python -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes"
    if first.exists():
        # What a source distribution is built with is locked, too; the page's own command then finds all installed.
        _run(f"{pip} -r {first}", EXAMPLES / engine, folder)
        _run(f"{pip} --no-build-isolation -r requirements.lock", EXAMPLES / engine, folder)
    _run(build(engine, "python"), EXAMPLES / engine, folder)


def _run(command, folder, venv=None):
    path = os.environ["PATH"] if venv is None else f"{venv / 'bin'}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        reason = next((line for line in said if "ERROR" in line), said[-1] if said else "no output")
        raise LocalError(f"{command}: {reason}; {maven.REMEDY} (javac: openjdk-17-jdk-headless)")


def main() -> int:
    """Print where everything is; otherwise the reason, with the exit code of a LocalError."""
    try:
        print(libs("flink"), classes("flink"), libs("streams"), classes("streams"), libs("spark"), sep="\n")
        print(python("spark"), python("lakehouse"), sep="\n")
    except LocalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

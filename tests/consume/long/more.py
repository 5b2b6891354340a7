"""What only the long tests need, fetched at the first call: `python -m consume.long.more` (with tests/ on the path)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from consume import deps

from connector.errors import LocalError
from connector.local import maven

HERE = Path(__file__).parent


def pyflink() -> Path:
    """The interpreter of an environment of its own: PyFlink pins old versions of what others need new."""
    lock = HERE / "pyflink.lock"

    def fill(folder):
        deps._run(f"{sys.executable} -m venv {folder}", folder)
        pip = "python -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes"
        deps._run(f"{pip} -r {lock}", HERE, folder)

    return maven._cached("pyflink-venv", lock.read_bytes() + sys.version.encode(), fill) / "bin" / "python"


def iceberg() -> Path:
    """The jar of Iceberg for Spark."""
    pom = HERE / "iceberg.pom.xml"

    def fill(folder):
        shutil.copy(pom, folder / "pom.xml")
        deps._run(deps.build("spark", "mvn"), folder)

    (jar,) = (maven._cached("iceberg-libs", pom.read_bytes(), fill) / "libs").glob("*.jar")
    return jar


def main() -> int:
    """Print where everything is; otherwise the reason."""
    try:
        print(pyflink(), iceberg(), sep="\n")
    except LocalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""AsyncAPI's official parser (npm, 55 MB): ``python tests/consume/parser.py`` fetches it into the cache, once."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from connector.local.maven import cache_folder

HERE = Path(__file__).parent / "asyncapi"
FILES = ("package.json", "package-lock.json", "validate.mjs")
NEEDED = ("node", "npm")


def missing() -> list[str]:
    """The programs that are not here."""
    return [name for name in NEEDED if shutil.which(name) is None]


def installed() -> Path:
    """The folder of the parser, found again by the hash of what names its versions."""
    key = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in FILES)).hexdigest()[:12]
    folder = cache_folder() / f"asyncapi-{key}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        new = Path(made, "new")
        new.mkdir()
        for name in FILES:
            shutil.copy(HERE / name, new)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=new, check=True, timeout=600)
        new.rename(folder)
    return folder


def judged(document: Path) -> dict:
    """What the parser says of a document: ``valid`` and ``diagnostics``, of which severity 0 is an error."""
    command = ["node", str(installed() / "validate.mjs"), str(document)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


if __name__ == "__main__":
    if missing():
        print(f"{', '.join(missing())} was not found: AsyncAPI documents will not be judged", file=sys.stderr)
        sys.exit(1)
    print(installed())

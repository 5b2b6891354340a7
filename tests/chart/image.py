"""Builds the image without a container engine: the steps of the Dockerfile, run in a folder with a Debian in it.

What a container engine would add is not made: a manifest, a digest. The content is the same. As there, the steps up
to the first that copies sources are kept, and files that do not change are not copied again but linked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

from chart.tools import ROOT, cached, run

from connector.local.maven import cache_folder

DOCKERFILE = ROOT / "Dockerfile"
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
NEEDED = ("debootstrap", "unshare", "setpriv", "mount")
LOCK = "requirements.lock"
DAY = 86400
HOST_FILES = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")


class Step(NamedTuple):
    """One instruction, continued lines joined."""

    word: str
    rest: str


def can_build() -> bool:
    """True if this machine has what it takes, root included."""
    return os.geteuid() == 0 and all(shutil.which(name) for name in NEEDED)


def steps() -> list[Step]:
    """The instructions of the Dockerfile."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [Step(*line.split(None, 1)) for line in joined.splitlines()]


def base() -> Path:
    """A Debian with Python, as the base image has it; `python` is on the path."""
    return cached("base-image", f"{SUITE} {PACKAGES} {NEEDED}".encode(), _bootstrap) / "root"


@cache
def image() -> Path:
    """The root folder of the image, from the sources as they are when it is first asked for."""
    sources = [*sorted(ROOT.glob("connector/**/*")), *sorted(ROOT.glob("schemas/**/*"))]
    kept = [path for path in sources if path.is_file() and "__pycache__" not in path.parts]
    contents = b"".join(str(path.relative_to(ROOT)).encode() + path.read_bytes() for path in kept)
    before = set(cache_folder().glob("image-*"))
    made = cached("image", DOCKERFILE.read_bytes() + (ROOT / LOCK).read_bytes() + contents, _build)
    for old in before - {made}:
        # Of other sources. What is younger may be in use.
        if old.stat().st_mtime < time.time() - DAY:
            shutil.rmtree(old)
    return made / "root"


def layer() -> Path:
    """The build stage before any source is copied: the slow part."""
    steps = "".join(f"{step.word} {step.rest}" for step in _before_sources())
    fingerprint = SUITE.encode() + steps.encode() + (ROOT / LOCK).read_bytes()
    return cached("layer", fingerprint, _install) / "root"


def settings() -> dict[str, str]:
    """The environment of the final stage."""
    found = {}
    for step in _stages()[1]:
        if step.word == "ENV":
            found.update(pair.split("=", 1) for pair in step.rest.split())
    return found


def entrypoint() -> list[str]:
    """The program of the final stage."""
    return json.loads(next(step.rest for step in _stages()[1] if step.word == "ENTRYPOINT"))


def _stages() -> list[list[Step]]:
    stages: list[list[Step]] = []
    for step in steps():
        if step.word == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(step)
    return stages


def _bootstrap(folder: Path) -> None:
    root = folder / "root"
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root, "http://deb.debian.org/debian")
    (root / "usr/bin/python").symlink_to("python3")


def _before_sources() -> list[Step]:
    build = _stages()[0]
    return build[: next(at for at, step in enumerate(build) if step.word == "COPY" and LOCK not in step.rest)]


def _install(folder: Path) -> None:
    stage = folder / "root"
    run("cp", "-a", base(), stage)
    for name in HOST_FILES:
        if Path(name).exists():
            shutil.copyfile(name, stage / name.lstrip("/"))
    for step in _before_sources():
        _apply(step, stage)


def _build(folder: Path) -> None:
    build, final = _stages()
    stage = folder / "build"
    run("cp", "-al", layer(), stage)
    for step in build[len(_before_sources()) :]:
        _apply(step, stage)
    run("cp", "-al", base(), folder / "root")
    for step in final:
        _apply(step, folder / "root", other=stage)
    shutil.rmtree(stage)


def _apply(step: Step, root: Path, other: Path | None = None) -> None:
    if step.word == "RUN":
        _run_in(root, json.loads(step.rest))
    elif step.word == "COPY":
        *sources, target = [word for word in step.rest.split() if not word.startswith("--")]
        for source in sources:
            _copy(other / source.lstrip("/") if other is not None else ROOT / source, root, target)
    elif step.word not in (
        "FROM",
        "ARG",
        "LABEL",
        "ENV",
        "USER",
        "EXPOSE",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
        "WORKDIR",
    ):
        raise AssertionError(f"the Dockerfile has {step.word}, which this build does not know")


def _copy(source: Path, root: Path, target: str) -> None:
    to = root / ("build" if target.startswith("./") else target.lstrip("/"))
    if source.is_dir() and source.is_relative_to(ROOT):
        shutil.copytree(source, to, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    elif source.is_dir():
        to.parent.mkdir(parents=True, exist_ok=True)
        run("cp", "-al", source, to)
    else:
        to = to / source.name if target.endswith("/") else to
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)


def _run_in(root: Path, command: list[str]) -> None:
    passed = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "http", "HTTP"))}
    passed.pop("PIP_FIND_LINKS", None)
    environment = {**passed, "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root"}
    (root / "build").mkdir(exist_ok=True)
    done = subprocess.run(
        [shutil.which("chroot") or "chroot", str(root), "env", "--chdir=/build", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


if __name__ == "__main__":
    print(image())
    sys.exit(0)

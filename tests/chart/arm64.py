"""The wheels that the image would hold on arm64: what pip chooses from the index by the locked hashes. None is loaded."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

from chart import image
from chart.tools import ROOT, cached, run
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from pathlib import Path

LIBRARIES = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
"""The base has glibc 2.36."""

MACHINE = {"platform_machine": "aarch64", "sys_platform": "linux"}


def python() -> str:
    """The version of the base image, as 3.11."""
    found = re.search(r"^ARG BASE=\S*python:(\d+\.\d+)", image.DOCKERFILE.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def wheels() -> list[str]:
    """Their file names; asked for once for each content of the lock file."""
    fingerprint = f"{python()} {LIBRARIES}".encode() + (ROOT / image.LOCK).read_bytes()
    return json.loads((cached("arm64", fingerprint, _ask) / "wheels.json").read_text())


def without(names: list[str]) -> list[str]:
    """The locked packages that have no wheel for arm64 among these."""
    fits = [name for name in names if re.search(r"(-any|_aarch64)\.whl$", name)]
    there = {re.sub("[_.]+", "-", name.partition("-")[0]).lower() for name in fits}
    return [name for name in _locked() if name not in there]


def _locked() -> list[str]:
    lines = [line.rstrip("\\ ") for line in (ROOT / image.LOCK).read_text().splitlines() if re.match(r"[a-z]", line)]
    version = {"python_version": python(), "python_full_version": f"{python()}.0"}
    asked = [Requirement(line) for line in lines]
    return [one.name for one in asked if one.marker is None or one.marker.evaluate({**MACHINE, **version})]


def _ask(folder: Path) -> None:
    report = folder / "report.json"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
    only = [
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={python()}",
    ]
    places = [*(f"--platform={one}" for one in LIBRARIES), f"--target={folder / 'nothing'}", f"--report={report}"]
    run(*pip, *only, *places, "-r", ROOT / image.LOCK)
    names = [one["download_info"]["url"].rpartition("/")[2] for one in json.loads(report.read_text())["install"]]
    (folder / "wheels.json").write_text(json.dumps(sorted(names)))
    report.unlink()

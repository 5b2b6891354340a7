"""Notices when files change: edited in place, replaced, or swapped behind a symbolic link as Kubernetes does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Mark = tuple[str, int, int, int]
"""Where the path leads, and inode, time of change and size of what is there."""


class Watch:
    """The files of one configuration, as they were when last looked at. A missing file is a state like any other."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._marks = {path: _mark(path) for path in paths}

    def changed(self) -> set[Path]:
        """Files that are not as they were at the last call, or at the beginning."""
        now = {path: _mark(path) for path in self._marks}
        found = {path for path, mark in now.items() if mark != self._marks[path]}
        self._marks = now
        return found


def _mark(path: Path) -> Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return os.path.realpath(path), status.st_ino, status.st_mtime_ns, status.st_size

"""The ground truth: one JSON line for every frame sent, and on request for every value published.

Lines, by their ``event``:
    open   session, connection, token's role          a session was opened
    frame  session, connection, frame, at, kind, text or base64, values (of updates)
    value  at, series, value                          published by the world, delivered or not
    close  session, connection, frames                a session ended

``frame`` counts the data frames of a session from 1, ``connection`` the connections of the emulator,
``at`` is microseconds since 1970, ``values`` is a list of [series, JSON literal].
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from connector.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from connector.emulator.frames import Frame
    from connector.emulator.world import Change

BUFFER = 1 << 18
"""Bytes that are held back at most."""


class Journal:
    """Appends lines to a file; `sync` makes each flush wait for the disk.

    Raises:
        LocalError: the file cannot be written.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise LocalError(f"journal {path}: {error.strerror}; name a file that can be written") from error
        self._sync = sync
        self._lines: list[bytes] = []
        self._size = 0

    def opened(self, session: str, connection: int, role: str) -> None:
        """A session was opened."""
        self._event(event="open", session=session, connection=connection, role=role)

    def closed(self, session: str, connection: int, frames: int) -> None:
        """A session ended."""
        self._event(event="close", session=session, connection=connection, frames=frames)

    def sent(self, heading: bytes, first: int, at: int, frames: Iterable[Frame]) -> None:
        """Frames were sent, numbered from `first`; `heading` is the constant `frame_heading`."""
        stamp = b',"at":%d,' % at
        self._add([b"%b%d%b%b" % (heading, number, stamp, one.line) for number, one in enumerate(frames, first)])

    def published(self, at: int, changes: Iterable[Change]) -> None:
        """The world published values."""
        self._add(
            [
                b'{"event":"value","at":%d,"series":"%b","value":%b}\n'
                % (at, series.name.encode(), json.dumps(literal).encode())
                for series, literal in changes
            ]
        )

    def flush(self) -> None:
        """Write what is held back."""
        if self._lines:
            block = memoryview(b"".join(self._lines))
            self._lines.clear()
            self._size = 0
            while block:
                block = block[self._file.write(block) :]
        if self._sync:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write what is held back and close the file."""
        self.flush()
        self._file.close()

    def _event(self, **fields: Any) -> None:
        self._add([json.dumps(fields, separators=(",", ":")).encode() + b"\n"])

    def _add(self, lines: list[bytes]) -> None:
        self._lines += lines
        self._size += sum(map(len, lines))
        if self._size > BUFFER:
            self.flush()


def frame_heading(session: str, connection: int) -> bytes:
    """What the lines of all frames of a session begin with."""
    return b'{"event":"frame","session":%b,"connection":%d,"frame":' % (
        json.dumps(session).encode(),
        connection,
    )

"""Updates that wait while Kafka is away, kept on disk: SQLite in WAL mode, each entry with its checksum."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from connector.domain.events import Rejected
from connector.domain.model import Entry, GapClosed, GapOpened, Retired, Subscribed
from connector.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ITEM: Final = Entry | GapOpened | GapClosed | Subscribed | Retired | Rejected
_TABLES: Final = """
create table if not exists entry (id integer primary key, crc integer not null, item blob not null);
create table if not exists owners (name text not null, epoch integer not null, primary key (name, epoch));
"""


class Journal:
    """Items in the order in which they happened, and the owners of the shard whom they continue.

    It keeps no position: the offsets in Kafka say what of it is still to be published.

    Raises:
        LocalError: the file cannot be used; it names the place and the remedy.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pending: list[Any] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(ITEM).decode
        self.recording = False
        self.error: str | None = None
        """Why nothing more can be stored; None while it can."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise LocalError(f"buffer.disk.path: {path}: {error}; name a file on a disk that can be written") from error

    def _open(self) -> None:
        self._file = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._file.text_factory = bytes  # a damaged entry may have turned into text
        self._file.execute("pragma journal_mode = wal")
        self._file.execute("pragma synchronous = full")
        self._file.executescript(_TABLES)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        paths = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(path.stat().st_size for path in paths if path.exists())

    # While the connector runs.

    def begin(self, *owners: tuple[str, int]) -> None:
        """From now on items are recorded; they continue what these owners, each a name and an epoch, published."""
        self.recording = True
        self._write([("delete from owners", [()]), ("insert or ignore into owners values (?, ?)", list(owners))])

    def end(self) -> None:
        """Everything is committed."""
        self.recording = False
        self.clear()

    def append(self, item: Any) -> None:
        """Keep one more item; it is on disk after the next `sync`."""
        self._pending.append(item)

    def sync(self) -> None:
        """Write what was appended and wait for the disk. May run on any thread.

        A full or broken disk is remembered in `error`; the items stay in memory.
        """
        with self._lock:
            self._flush()

    def load(self, skip: int, count: int) -> list[Any]:
        """So many items, the ``skip`` oldest left out.

        Raises:
            LocalError: an entry is damaged.
        """
        with self._lock:
            self._flush()
            rows = self._file.execute(
                "select crc, item from entry order by id limit ? offset ?", (count, skip)
            ).fetchall()
        items = [self._item(crc, item) for crc, item in rows] + self._unwritten(skip + len(rows), count - len(rows))
        if any(item is None for item in items):
            raise LocalError(f"buffer.disk.path: {self._path}: a damaged entry")
        return items

    def release(self, count: int) -> None:
        """The oldest items are committed."""
        self._write([("delete from entry where id in (select id from entry order by id limit ?)", [(count,)])])

    # After a restart.

    def owners(self) -> set[tuple[str, int]]:
        """Whom the entries continue, by name and epoch; empty if there are none."""
        with self._lock:
            rows = self._file.execute("select name, epoch from owners where exists (select 1 from entry)").fetchall()
        return {(name.decode(errors="replace"), int(epoch)) for name, epoch in rows}

    def items(self) -> Iterator[tuple[int, Any]]:
        """Every entry by its id, oldest first; None for a damaged one."""
        last = -1
        while True:
            with self._lock:
                rows = self._file.execute(
                    "select id, crc, item from entry where id > ? order by id limit 1000", (last,)
                ).fetchall()
            if not rows:
                return
            for number, crc, item in rows:
                yield number, self._item(crc, item)
            last = rows[-1][0]

    def discard(self, numbers: Iterable[int]) -> None:
        """Forget these entries."""
        self._write([("delete from entry where id = ?", [(number,) for number in numbers])])

    def clear(self) -> None:
        """Forget everything."""
        self._pending.clear()
        self._write([("delete from entry", [()]), ("delete from owners", [()])])

    def close(self) -> None:
        """Write what is left and close the file."""
        self.sync()
        with self._lock:
            self._file.close()

    def _unwritten(self, skip: int, count: int) -> list[Any]:
        """Items that a broken disk did not take are still in memory."""
        written = self._file.execute("select count(*) from entry").fetchone()[0]
        start = max(0, skip - written)
        return self._pending[start : start + count]

    def _flush(self) -> None:
        items = self._pending[:]
        if not items:
            return
        encoded = [self._encode(item) for item in items]
        rows = [(zlib.crc32(item), item) for item in encoded]
        if self._execute([("insert into entry (crc, item) values (?, ?)", rows)]):
            del self._pending[: len(items)]

    def _write(self, statements: list[tuple[str, list[Any]]]) -> None:
        with self._lock:
            self._flush()
            self._execute(statements)

    def _execute(self, statements: list[tuple[str, list[Any]]]) -> bool:
        try:
            self._file.execute("begin")
            for statement, rows in statements:
                self._file.executemany(statement, rows)
            self._file.execute("commit")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._file.execute("rollback")
            self.error = f"buffer.disk.path: {self._path}: {error}"
            return False
        self.error = None
        return True

    def _item(self, crc: int, item: bytes) -> Any:
        if zlib.crc32(item) != crc:
            return None
        try:
            return self._decode(item)
        except msgspec.DecodeError:
            return None

"""A recording of the topics: a folder with ``recording.json``, the schemas and one JSON object a record."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connector.errors import ConfigError, LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST: Final = "recording.json"
RECORDS: Final = "hour.jsonl.gz"
_PACKAGE: Final = Path(__file__).resolve().parent.parent
_FOLDERS: Final = (_PACKAGE / "samples", _PACKAGE.parent / "samples")


class Recorded(NamedTuple):
    """One record. ``topic`` has no prefix; ``transaction`` counts from 1; ``value`` is framed, None in a tombstone."""

    topic: str
    partition: int
    key: bytes
    timestamp_ms: int
    headers: list[tuple[str, bytes]]
    transaction: int
    value: bytes | None


class RecordedSchema(NamedTuple):
    """One version of a schema. ``subjects`` have no prefix; ``schema_id`` stands in the framing of the values."""

    schema_id: int
    subjects: tuple[str, ...]
    version: int
    text: str


class Recording:
    """One recording.

    Args:
        folder: None takes the hour that comes with the connector.

    Raises:
        ConfigError: the folder holds none.
        LocalError: the installation lacks its own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or _own()
        try:
            manifest: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
            self.prefix: str = manifest["prefix"]
            self.account: str = manifest["account"]
            self.partitions: int = manifest["partitions"]
            self.shards: int = manifest["shards"]
            self.ended_ms: int = manifest["ended_ms"]
            self.counts: dict[str, int] = manifest["records"]
            """Records by topic, without the prefix."""
            self.schemas = [self._schema(one) for one in manifest["schemas"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self.folder}: no recording: {error!r}; name a folder with {MANIFEST}") from error

    def records(self) -> Iterator[Recorded]:
        """Every record, in the order of the transactions.

        Raises:
            ConfigError: a line cannot be read.
        """
        file = self.folder / RECORDS
        try:
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                for line in lines:
                    yield _record(json.loads(line))
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{file}: not readable: {error!r}; get the recording again") from error

    def _schema(self, one: dict[str, Any]) -> RecordedSchema:
        text = (self.folder / one["file"]).read_text(encoding="utf-8")
        return RecordedSchema(one["id"], tuple(one["subjects"]), one["version"], text)


def _own() -> Path:
    for folder in _FOLDERS:
        if (folder / MANIFEST).is_file():
            return folder
    raise LocalError("samples: not in this installation (the image has none); name a folder, or install the wheel")


def _record(line: dict[str, Any]) -> Recorded:
    value = line["value"]
    return Recorded(
        line["topic"],
        line["partition"],
        line["key"].encode(),
        line["timestamp_ms"],
        [(name, text.encode()) for name, text in line["headers"].items()],
        line["transaction"],
        None if value is None else base64.b64decode(value),
    )

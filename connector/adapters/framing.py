"""Avro values in the registry's framing: a zero byte, the schema id in four bytes, then the record."""

from __future__ import annotations

import io
import json
import struct
from typing import TYPE_CHECKING, Any, Final

import fastavro

from connector.adapters.compiled import UnknownTypeError, compile_record, compile_varying
from connector.adapters.schema_files import schema_text
from connector.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAGIC: Final = 0
_HEADER: Final = struct.Struct(">bI")


def plain(text: str) -> Any:
    """A schema whose times are numbers: the same bytes, without a detour through datetime objects."""
    return fastavro.parse_schema(_without_logical_types(json.loads(text)))


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [_without_logical_types(part) for part in schema]
    return schema


class Encoder:
    """A record as framed bytes. It reuses its buffer: one encoder belongs to one thread.

    The work is done by a function compiled from the schema; fastavro writes what that one cannot, or says why not.
    ``text``: the schema, if it is another one than the connector's own of that name.
    """

    __slots__ = ("_buffer", "_header", "_quick", "_schema", "_write")

    def __init__(self, name: str, schema_id: int, text: str | None = None) -> None:
        self._schema = plain(schema_text(name) if text is None else text)
        self._header = _HEADER.pack(MAGIC, schema_id)
        self._buffer = io.BytesIO()
        self._write = fastavro.schemaless_writer
        try:
            self._quick = compile_record(self._schema, self._header, self.reference)
        except UnknownTypeError:
            self._quick = self.reference

    def __call__(self, value: Mapping[str, Any]) -> bytes:
        """The framed bytes of one record."""
        return self._quick(value)

    def reference(self, value: Mapping[str, Any]) -> bytes:
        """The same by fastavro.

        Raises:
            ValueError, TypeError, …: whatever fastavro says of a value that does not fit.
        """
        buffer = self._buffer
        buffer.seek(0)
        buffer.truncate()
        buffer.write(self._header)
        self._write(buffer, self._schema, value)
        return buffer.getvalue()

    def varying(self, names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Callable[..., bytes]]:
        """For records that differ in these fields only: from the shared values to a function of the others.

        What they share is encoded once. The function takes its arguments by position.
        """

        def bind(shared: Mapping[str, Any]) -> Callable[..., bytes]:
            def whole(*values: Any) -> bytes:
                return self.reference({**shared, **dict(zip(names, values, strict=True))})

            return whole if compiled is None else compiled(self._header, shared, whole)

        try:
            compiled = compile_varying(self._schema, names)
        except UnknownTypeError:
            compiled = None
        return bind


class Decoder:
    """Framed bytes as a record, whatever registered version wrote them; times stay numbers.

    Args:
        fetch: the text of the schema with this id; asked once per id.
        name: read everything as this schema; None: as it was written.
    """

    def __init__(self, fetch: Callable[[int], str], name: str | None = None) -> None:
        self._fetch = fetch
        self._reader = None if name is None else plain(schema_text(name))
        self._writers: dict[int, Any] = {}

    def __call__(self, data: bytes) -> dict[str, Any]:
        """The record.

        Raises:
            SchemaError: the bytes are not framed, or do not fit the schema that they name.
            RegistryUnavailable: the schema is not known yet and the registry cannot be asked.
        """
        if len(data) < _HEADER.size or data[0] != MAGIC:
            raise SchemaError("a record without the registry's framing; another program writes to this topic")
        schema_id = _HEADER.unpack_from(data)[1]
        try:
            record = fastavro.schemaless_reader(io.BytesIO(data[_HEADER.size :]), self._writer(schema_id), self._reader)
        except (ValueError, TypeError, EOFError, IndexError, fastavro.read.SchemaResolutionError) as error:
            text = f"a record that does not fit its schema {schema_id}: {type(error).__name__}"
            raise SchemaError(f"{text}; another program writes to this topic") from error
        if not isinstance(record, dict):
            raise SchemaError(f"schema {schema_id} is no record; another program writes to this topic")
        return record

    def _writer(self, schema_id: int) -> Any:
        if schema_id not in self._writers:
            self._writers[schema_id] = plain(self._fetch(schema_id))
        return self._writers[schema_id]

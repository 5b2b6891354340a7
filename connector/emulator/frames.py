"""The source's frames: JSON bodies as the API shows them, and their bytes on the wire (RFC 6455).

Bodies are put together from constant parts, so that a value costs two concatenations. Frames of a
server are unmasked, so one frame serves every session.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from connector.domain.model import Series

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


class Frame(NamedTuple):
    """One data frame: what it says, its bytes on the wire, and the end of its line in the journal."""

    opcode: int
    payload: bytes
    wire: bytes
    line: bytes


def wire(opcode: int, payload: bytes, *, compressed: bool = False) -> bytes:
    """A final, unmasked frame (RFC 6455 section 5.2; the RSV1 bit marks RFC 7692 compression)."""
    first = 0x80 | (0x40 if compressed else 0) | opcode
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big") + payload
    return bytes((first, 127)) + length.to_bytes(8, "big") + payload


def close_wire(code: int, reason: str = "") -> bytes:
    """A close frame; code 1005 means an empty one, as the code may not be sent itself."""
    body = b"" if code == 1005 else code.to_bytes(2, "big") + reason.encode()[:123]
    return wire(CLOSE, body)


def notice(kind: str, status: int, message: Any) -> Frame:
    """A frame with a message instead of content: authentication, 401, 500, acknowledgement, cold."""
    payload = json.dumps({"status_code": status, "message": message}, separators=(",", ":")).encode()
    return data_frame(kind, payload)


def data_frame(kind: str, payload: bytes, opcode: int = TEXT) -> Frame:
    """Any frame, byte for byte; it carries no values."""
    return Frame(opcode, payload, wire(opcode, payload), f'"kind":"{kind}",{_content(payload)}}}\n'.encode())


def _content(payload: bytes) -> str:
    try:
        return f'"text":{json.dumps(payload.decode(), ensure_ascii=False)}'
    except UnicodeDecodeError:
        return f'"base64":"{base64.b64encode(payload).decode()}"'


class Template:
    """The update frame of one series, but for the value."""

    __slots__ = ("_after", "_before", "_line_after", "_line_before", "_line_middle")

    def __init__(self, series: Series) -> None:
        window = "" if series.window is None else f'{{"{series.window}":'
        department = "null" if series.department_id is None else series.department_id
        before = f'{{"content":{{"topic":"{series.family}","data":{{"{series.metric}":{window}'
        after = f'{"}" if window else ""}}},"type":"update","department_id":{department}}},"status_code":200}}'
        self._before, self._after = before.encode(), after.encode()
        self._line_before = b'"kind":"update","text":"' + _escaped(before)
        self._line_middle = _escaped(after) + f'","values":[["{series.name}","'.encode()
        self._line_after = b'"]]}\n'

    def frame(self, literal: str) -> Frame:
        """The frame that pushes that JSON literal."""
        value = literal.encode()
        payload = self._before + value + self._after
        quoted = _escaped(literal)
        line = self._line_before + quoted + self._line_middle + quoted + self._line_after
        return Frame(TEXT, payload, wire(TEXT, payload), line)


def _escaped(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode() if '"' in text or "\\" in text else text.encode()


def content(family: str, department_id: int | None, values: dict[Series, str]) -> str:
    """The body of an update with any number of values; windowed metrics become objects."""
    parts: dict[str, list[str]] = {}
    plain: dict[str, str] = {}
    for series, literal in values.items():
        if series.window is None:
            plain[series.metric] = literal
        else:
            parts.setdefault(series.metric, []).append(f'"{series.window}":{literal}')
    plain |= {metric: f"{{{','.join(windows)}}}" for metric, windows in parts.items()}
    data = ",".join(f'"{metric}":{literal}' for metric, literal in plain.items())
    department = "null" if department_id is None else department_id
    return (
        f'{{"content":{{"topic":"{family}","data":{{{data}}},"type":"update","department_id":{department}}},'
        '"status_code":200}'
    )


def combined(values: dict[Series, str]) -> Frame:
    """One update frame with several values of one family and department."""
    some = next(iter(values))
    payload = content(some.family, some.department_id, values).encode()
    named = json.dumps([[series.name, literal] for series, literal in values.items()], separators=(",", ":"))
    line = f'"kind":"update",{_content(payload)},"values":{named}}}\n'
    return Frame(TEXT, payload, wire(TEXT, payload), line.encode())

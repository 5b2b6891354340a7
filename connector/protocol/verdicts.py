"""What a frame of the source turns out to be."""

from __future__ import annotations

from typing import Final

import msgspec

REASONS: Final = {
    "invalid_utf8": "the bytes are not UTF-8",
    "invalid_json": "not one JSON text: syntax, empty, byte order mark, something after the end",
    "not_finite": "NaN or Infinity, which JSON does not have",
    "duplicate_key": "an object has the same key twice",
    "lone_surrogate": "a text has half of a surrogate pair",
    "too_deep": "objects or lists nested deeper than 16",
    "missing_field": "a field that every frame of its kind has is absent",
    "wrong_type": "a field or a value has another JSON type than it must have",
    "bad_status": "status_code is neither 200 nor 400 to 599",
    "bad_department": "department_id is not a whole number from 0 to 2^63 - 1",
    "unknown_topic": "content.topic is neither chats nor agents",
    "no_value": "the frame or one of its metrics holds no value at all",
    "unknown_metric": "the metric table has no such key in this topic",
    "unknown_window": "the window is neither 30 nor 60",
    "number_too_long": "the literal of a number has more than 64 characters",
    "number_out_of_range": "the number is larger than a double can hold",
}
"""Every reason why a frame or a value is refused. Dead letters carry these codes: they never change.

Those before ``no_value`` refuse the whole frame, ``wrong_type`` also one value of it. Where one value is
refused, the others of its frame are taken.
"""

Route = tuple[str, str, int | None, int | None]
"""Family, metric, window, department: the identity of a series, as a plain tuple."""

Value = tuple[Route, float | None, str | None]
"""The route, the number and its literal as received; None and None for null."""


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """A frame or a value that is refused: a code of `REASONS`, one line, the routes it may have held."""

    reason: str
    message: str
    lost: tuple[Route, ...] = ()


class Update(msgspec.Struct, frozen=True, gc=False):
    """A frame with values, good and bad ones. ``unknown``: fields that the API's page does not list."""

    values: tuple[Value, ...]
    malformed: tuple[Malformed, ...] = ()
    unknown: tuple[str, ...] = ()


class Notice(msgspec.Struct, frozen=True, gc=False):
    """A frame without values. ``kind`` as in `connector.domain.events.Noticed`."""

    kind: str
    status: int
    text: str
    unknown: tuple[str, ...] = ()

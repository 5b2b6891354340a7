"""The API's messages; nothing else in the connector knows their field names.

`decode` is strict and never raises. The usual frame, with one value and nothing unexpected, is
read by msgspec. Every other one goes to the slow reader, which alone decides what is refused and why.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from connector.domain.metrics import BY_NAME, METRICS, WINDOWS, Metric
from connector.protocol import strict_json
from connector.protocol.strict_json import NotStrictError, Number
from connector.protocol.verdicts import Malformed, Notice, Route, Update, Value

if TYPE_CHECKING:
    from connector.domain.model import Series

MAX_LITERAL: Final = 64
MAX_DEPARTMENT: Final = 2**63 - 1
MAX_EXCERPT: Final = 80

# What we send


def subscribe(series: Series) -> str:
    """The message that subscribes to one series."""
    return _request(series, "subscribe")


def unsubscribe(series: Series) -> str:
    """The message that ends the subscription to one series."""
    return _request(series, "unsubscribe")


def _request(series: Series, action: str) -> str:
    request: dict[str, str | int] = {"topic": f"{series.family}.{series.metric}", "action": action}
    if series.window is not None:
        request["window"] = series.window
    if series.department_id is not None:
        request["department_id"] = series.department_id
    return json.dumps(request, separators=(",", ":"))


# What we receive: the usual frame


class _Content(msgspec.Struct, gc=False):
    topic: str
    data: dict[str, msgspec.Raw]
    type: Literal["update"]
    department_id: Annotated[int, msgspec.Meta(ge=0, le=MAX_DEPARTMENT)] | None


class _Frame(msgspec.Struct, gc=False):
    status_code: Literal[200]
    content: _Content


_USUAL: Final = msgspec.json.Decoder(_Frame)
_UNUSUAL: Final = (msgspec.MsgspecError, RecursionError, ValueError)
_USUAL_KEYS: Final = 7
"""Keys of a frame with one value without a window. So many colons prove: no key is repeated or unknown."""

_WINDOW_OF: Final = {str(window): window for window in WINDOWS}
_FIELDS: Final = ("topic", "data", "type", "department_id")
_FAMILIES: Final = frozenset(metric.family for metric in METRICS)
_VARIANTS: Final = frozenset(
    (metric.family, metric.key, window) for metric in METRICS for window in (WINDOWS if metric.windowed else (None,))
)
_READING: Final = re.compile(
    rb'(?:\{[ \t\r\n]*"(30|60)"[ \t\r\n]*:[ \t\r\n]*)?'
    rb"(?:(null)|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?))"
    rb"(?(1)[ \t\r\n]*\})"
)
_MAX_USUAL: Final = 512
"""Longer frames are not usual; it also bounds what `_read` remembers."""


def decode(frame: bytes) -> Update | Notice | Malformed:
    """What a frame says. Never raises, whatever the bytes."""
    value = decode_usual(frame)
    return decode_unusual(frame) if value is None else Update((value,))


def decode_usual(frame: bytes) -> Value | None:
    """The value of the usual frame; None for every other one, whose meaning is `decode_unusual`'s to tell."""
    if len(frame) > _MAX_USUAL:
        return None
    try:
        content = _USUAL.decode(frame).content
    except _UNUSUAL:
        return None
    for metric, raw in content.data.items():
        reading = _read(bytes(raw))
        if reading is not None:
            window, value, literal, keys = reading
            topic = content.topic
            # A second value has a colon of its own.
            if frame.count(b":") == keys and (topic, metric, window) in _VARIANTS:
                return (topic, metric, window, content.department_id), value, literal
        break
    return None


@lru_cache(maxsize=8192)
def _read(raw: bytes) -> tuple[int | None, float | None, str | None, int] | None:
    """Window, number, literal, and the keys of the usual frame around them; None if it needs judging."""
    match = _READING.fullmatch(raw)
    if match is None:
        return None
    window = None if match[1] is None else int(match[1])
    keys = _USUAL_KEYS + (window is not None)
    if match[3] is None:
        return window, None, None, keys
    literal = match[3].decode()
    value = float(literal)
    if len(literal) > MAX_LITERAL or math.isinf(value):
        return None
    return window, value, literal, keys


# What we receive: every other frame


class _RefusedError(Exception):
    def __init__(self, reason: str, message: str, *lost: Route) -> None:
        self.malformed = Malformed(reason, message, lost)


def decode_unusual(frame: bytes) -> Update | Notice | Malformed:
    """What any frame says, the usual one too. Never raises."""
    try:
        return _judge(strict_json.parse(frame))
    except _RefusedError as refused:
        return refused.malformed
    except NotStrictError as error:
        # Which values are lost cannot be told if one of these has two meanings.
        ambiguous = error.repeated & {"content", "topic", "data", "department_id"}
        return Malformed(error.reason, error.message, () if ambiguous else _named(error.tree))


def _named(tree: Any) -> tuple[Route, ...]:
    """The routes that a refused frame may have held values of, as far as it tells."""
    try:
        content = _field(tree, "content", dict, "")
        topic, department = _topic(content), _department(content)
        metrics = [BY_NAME.get(f"{topic}.{key}") for key in _field(content, "data", dict, "content.")]
    except _RefusedError:
        return ()
    return tuple(route for metric in metrics if metric for route in _routes(metric, department))


def _routes(metric: Metric, department: int | None) -> tuple[Route, ...]:
    windows = WINDOWS if metric.windowed else (None,)
    return tuple((metric.family, metric.key, window, department) for window in windows)


def _judge(tree: Any) -> Update | Notice | Malformed:
    status = _status(tree)
    if status != 200:
        kind = "error" if status >= 500 else "refused"
        return Notice(kind, status, _text(tree.get("message")), _unknown(tree, ("status_code", "content", "message")))
    if tree.get("content") is None and "message" in tree:
        message = tree["message"]
        return Notice(_kind(message), status, _text(message), _unknown(tree, ("status_code", "content", "message")))
    content = _field(tree, "content", dict, "")
    unknown = _unknown(tree, ("status_code", "content")) + _unknown(content, _FIELDS, "content.")
    kind = _field(content, "type", str, "content.")
    if kind != "update":
        return Notice("unknown_type", status, _excerpt(kind), unknown)
    return _update(content, unknown)


def _kind(message: Any) -> str:
    if message == "Not Computed!":
        return "not_computed"
    if isinstance(message, dict) and message.get("authenticated") is True:
        return "authenticated"
    return "acknowledged"


def _update(content: dict[str, Any], unknown: tuple[str, ...]) -> Update:
    topic, department = _topic(content), _department(content)
    data = _field(content, "data", dict, "content.")
    if not data:
        raise _RefusedError("no_value", "content.data is empty")
    values: list[Value] = []
    malformed: list[Malformed] = []
    for key, reading in data.items():
        for route, number in _readings(topic, key, department, reading, malformed):
            try:
                values.append(_value(route, number))
            except _RefusedError as refused:
                malformed.append(refused.malformed)
    return Update(tuple(values), tuple(malformed), unknown)


def _readings(
    topic: str, key: str, department: int | None, reading: Any, malformed: list[Malformed]
) -> list[tuple[Route, Any]]:
    """What one member of ``data`` holds, window by window; what has no route goes to ``malformed``."""
    metric = BY_NAME.get(f"{topic}.{key}")
    if metric is None:
        malformed.append(Malformed("unknown_metric", f"{topic} has no metric {_excerpt(key)!r}"))
        return []
    if not metric.windowed:
        return [((topic, key, None, department), reading)]
    if type(reading) is not dict or not reading:
        reason = "no_value" if reading == {} else "wrong_type"
        message = f"{topic}.{key} is {_type(reading)}, not a value for each window"
        malformed.append(Malformed(reason, message, _routes(metric, department)))
        return []
    known = [window for window in reading if window in _WINDOW_OF]
    malformed += [
        Malformed("unknown_window", f"{topic}.{key} has no window {_excerpt(window)!r}")
        for window in reading
        if window not in _WINDOW_OF
    ]
    return [((topic, key, _WINDOW_OF[window], department), reading[window]) for window in known]


def _value(route: Route, number: Any) -> Value:
    if number is None:
        return route, None, None
    name = f"{route[0]}.{route[1]}"
    if type(number) is not Number:
        raise _RefusedError("wrong_type", f"{name} is {_type(number)}, not a number", route)
    literal = str(number)
    if len(literal) > MAX_LITERAL:
        raise _RefusedError("number_too_long", f"{name} has {len(literal)} characters", route)
    value = float(literal)
    if math.isinf(value):
        raise _RefusedError("number_out_of_range", f"{name} is {literal}", route)
    return route, value, literal


# Fields


def _field(container: Any, name: str, kind: type, path: str) -> Any:
    if type(container) is not dict:
        raise _RefusedError("wrong_type", f"the frame is {_type(container)}, not an object")
    if name not in container:
        raise _RefusedError("missing_field", f"{path}{name} is missing")
    if type(container[name]) is not kind:
        raise _RefusedError("wrong_type", f"{path}{name} is {_type(container[name])}")
    return container[name]


def _status(tree: Any) -> int:
    literal = _field(tree, "status_code", Number, "")
    if re.fullmatch("200|[45][0-9][0-9]", literal) is None:
        raise _RefusedError("bad_status", f"status_code is {_excerpt(literal)}")
    return int(literal)


def _topic(content: dict[str, Any]) -> str:
    topic: str = _field(content, "topic", str, "content.")
    if topic not in _FAMILIES:
        raise _RefusedError("unknown_topic", f"content.topic is {_excerpt(topic)!r}")
    return topic


def _department(content: dict[str, Any]) -> int | None:
    if content.get("department_id", 0) is None:
        return None
    literal = _field(content, "department_id", Number, "content.")
    if re.fullmatch("-?[0-9]{1,19}", literal) is None or not 0 <= int(literal) <= MAX_DEPARTMENT:
        raise _RefusedError("bad_department", f"content.department_id is {_excerpt(literal)}")
    return int(literal)


def _unknown(container: dict[str, Any], known: tuple[str, ...], path: str = "") -> tuple[str, ...]:
    return tuple(path + _excerpt(name) for name in container if name not in known)


# Texts for people


def _excerpt(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:MAX_EXCERPT])


def _text(message: Any) -> str:
    return _excerpt(message if isinstance(message, str) else json.dumps(message, separators=(",", ":")))


def _type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", Number: "a number"}
    return names.get(type(value), "null")

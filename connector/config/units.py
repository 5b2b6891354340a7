"""Quantities as people write them: ``5s``, ``64KiB``, ``200/s``."""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]*)")

DURATION_HINT: Final = "must be a duration; write for example 250ms, 5s, 2m, 12h, 7d, or a number of seconds"
SIZE_HINT: Final = "must be a size; write for example 64KiB, 1MB, or a number of bytes"
RATE_HINT: Final = "must be a rate; write for example 200/s"


def _quantity(value: Any, units: dict[str, Any], plain: str, hint: str) -> float:
    match = _QUANTITY.fullmatch(str(value).strip())
    if isinstance(value, bool) or match is None:
        raise ValueError(hint)
    unit = match[2] or plain
    if unit not in units:
        raise ValueError(hint)
    return float(match[1]) * float(units[unit])


def parse_duration(value: Any) -> float:
    """Seconds from ``5s``, ``250ms``, ``2m`` or a number.

    Raises:
        ValueError: it is none of these.
    """
    return _quantity(value, _SECONDS, "s", DURATION_HINT)


def parse_size(value: Any) -> int:
    """Bytes from ``64KiB``, ``1MB`` or a number.

    Raises:
        ValueError: it is none of these.
    """
    return int(_quantity(value, _BYTES, "B", SIZE_HINT))


def parse_rate(value: Any) -> float:
    """Events per second from ``200/s`` or a number.

    Raises:
        ValueError: it is neither.
    """
    return _quantity(str(value).removesuffix("/s"), {"": 1}, "", RATE_HINT)


def format_duration(seconds: float) -> str:
    """The shortest exact form: ``250ms``, ``5s``, ``7d``."""
    for unit in ("d", "h", "m", "s"):
        count = seconds / _SECONDS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds * 1000:g}ms"


def format_size(size: int) -> str:
    """The shortest exact form: ``64KiB``, ``1500B``."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def _format_rate(rate: float) -> str:
    return f"{rate:g}/s"


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic turns a ValueError into a message
    return value


_TEXT_OR_NUMBER: Final = ["string", "number"]

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": _TEXT_OR_NUMBER, "pattern": r"^\d+(\.\d+)?\s*(us|ms|s|m|h|d)?$", "minimum": 0}),
]
"""Seconds; written as ``5s``, ``250ms``, ``2m`` or a number."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?\s*(B|[kKMG]B|[KMG]iB)?$", "minimum": 0}),
]
"""Bytes; written as ``64KiB``, ``1MB`` or a number."""

Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    PlainSerializer(_format_rate, return_type=str, when_used="json"),
    WithJsonSchema({"type": _TEXT_OR_NUMBER, "pattern": r"^\d+(\.\d+)?(/s)?$", "minimum": 0}),
]
"""Per second; written as ``200/s`` or a number."""

Count = Annotated[int, BeforeValidator(_no_bool)]
"""A whole number; true and false are none."""

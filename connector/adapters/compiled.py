"""Avro encoders compiled from a schema: a line of Python for each field instead of a walk over the schema.

What the compiler does not know, and every value that it cannot write, is fastavro's: `framing.Encoder` falls back.
"""

from __future__ import annotations

import struct
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Write = Callable[..., bytes]
    Bind = Callable[[bytes, Mapping[str, Any], Write], Write]

LOW: Final = 1 << 14
MIDDLE: Final = 1 << 28


class UnknownTypeError(Exception):
    """The schema has a type that is not compiled."""


def varint(number: int, most: int = 1 << 64) -> bytes:
    """A number from 0 to below ``most``, seven bits a byte, the lowest first.

    Raises:
        OverflowError
    """
    if not 0 <= number < most:
        raise OverflowError("a number with too many bits")
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


@lru_cache(maxsize=1)
def _names() -> dict[str, Any]:
    """What the generated lines refer to. ``last`` ends a varint with 14 bits, ``more`` goes before further bytes."""
    return {
        "last": [varint(number) for number in range(LOW)],
        "more": [bytes((number & 127 | 128, number >> 7 | 128)) for number in range(LOW)],
        # Of a time the highest bits change every other minute.
        "rest": lru_cache(maxsize=1024)(partial(varint, most=1 << 36)),
        "rest_int": partial(varint, most=1 << 4),
        "double": struct.Struct("<d").pack,
        "join": b"".join,
        "unwritable": (TypeError, ValueError, AttributeError, LookupError, OverflowError, struct.error),
    }


def _long(name: str, rest: str = "rest") -> list[str]:
    """Zigzag, then a varint by its size: up to 14 bits, up to 28, or more."""
    top = f"(last[n >> 14] if n < {MIDDLE} else more[n >> 14 & {LOW - 1}] + {rest}(n >> 28))"
    return [
        f"n = {name} << 1 if {name} >= 0 else ~({name} << 1)",
        f"{name} = last[n] if n < {LOW} else more[n & {LOW - 1}] + {top}",
    ]


def _sized(name: str) -> list[str]:
    return [f"n = len({name})", f"{name} = (last[n << 1] if n < {LOW >> 1} else rest(n << 1)) + {name}"]


_KINDS: Final[dict[str, Callable[[str], list[str]]]] = {
    "int": lambda name: _long(name, "rest_int"),
    "long": _long,
    "double": lambda name: [f"{name} = double({name})"],
    "boolean": lambda name: [f'{name} = b"\\1" if {name} else b"\\0"'],
    "string": lambda name: [f"{name} = {name}.encode()", *_sized(name)],
    "bytes": _sized,
}
"""The lines that turn the value in a variable into its bytes."""


def _lines(kind: Any, name: str) -> list[str]:
    """The lines of one field: a known type, or a union of null and one."""
    if isinstance(kind, dict) and set(kind) <= {"type", "doc"}:
        kind = kind["type"]
    if isinstance(kind, list) and len(kind) == 2 and kind[0] == "null":
        inner = _lines(kind[1], name)
        return [f"if {name} is None:", f' {name} = b"\\0"', "else:", *(f" {line}" for line in inner),
                f' {name} = b"\\2" + {name}']  # fmt: skip
    if not isinstance(kind, str) or kind not in _KINDS:
        raise UnknownTypeError(str(kind))
    return _KINDS[kind](name)


def _fetch(field: Mapping[str, Any], name: str) -> str:
    """The line that takes a field from the value ``v``, or its default."""
    if "default" not in field:
        return f"{name} = v[{field['name']!r}]"
    return f"{name} = v.get({field['name']!r}, {field['default']!r})"


def compile_record(schema: Mapping[str, Any], prefix: bytes, fallback: Write) -> Write:
    """A function from a record, as a mapping, to ``prefix`` and its bytes.

    Args:
        schema: a record, without logical types.
        prefix: put before each record.
        fallback: called instead with a value that cannot be written like this.

    Raises:
        UnknownTypeError
    """
    fields = _fields(schema)
    body: list[str] = []
    for at, field in enumerate(fields):
        body += [_fetch(field, f"f{at}"), *_lines(field["type"], f"f{at}")]
    pieces = ["c0", *(f"f{at}" for at in range(len(fields)))]
    return _factory(["v"], body, pieces, ["c0"])(fallback, prefix)


def compile_varying(schema: Mapping[str, Any], varying: Iterable[str]) -> Bind:
    """For records that share values: from prefix, shared values and fallback to a function of the ``varying`` ones.

    Its arguments, and those of the fallback, are positional, in the order of ``varying``.

    Raises:
        UnknownTypeError
    """
    order = list(varying)
    runs: list[list[Any]] = [[]]
    pieces = ["c0"]
    body: list[str] = []
    for field in _fields(schema):
        if field["name"] in order:
            at = order.index(field["name"])
            body += [f"f{at} = v{at}", *_lines(field["type"], f"f{at}")]
            pieces.append(f"f{at}")
        else:
            # Neighbours that are shared are one piece.
            if pieces[-1] != f"c{len(runs) - 1}":
                pieces.append(f"c{len(runs)}")
                runs.append([])
            runs[-1].append(field)
    shared = [compile_record({"type": "record", "fields": run}, b"", _refuse) for run in runs]
    make = _factory([f"v{at}" for at in range(len(order))], body, pieces, [f"c{at}" for at in range(len(runs))])

    def bind(prefix: bytes, values: Mapping[str, Any], fallback: Write) -> Write:
        first, *others = [write(values) for write in shared]
        return make(fallback, prefix + first, *others)

    return bind


def _refuse(_: Any) -> bytes:
    raise ValueError("a value that does not fit its schema")


def _fields(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if schema.get("type") != "record":
        raise UnknownTypeError(str(schema.get("type")))
    return list(schema["fields"])


def _factory(arguments: list[str], body: list[str], pieces: list[str], constants: list[str]) -> Callable[..., Write]:
    """A function that makes the writing function from its fallback and its constants."""
    called = ", ".join(arguments)
    lines = [
        f"def make(fallback, {', '.join(constants)}):",
        f" def write({called}):",
        "  try:",
        *(f"   {line}" for line in body),
        f"   return join(({', '.join(pieces)},))",
        f"  except unwritable: return fallback({called})",
        " return write",
    ]
    names = dict(_names())
    exec("\n".join(lines), names)  # noqa: S102 - made here, from a schema that belongs to the program
    make: Callable[..., Write] = names["make"]
    return make

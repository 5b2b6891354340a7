"""JSON as RFC 8259 has it, nothing more: the standard library's parser without what it lets pass."""

from __future__ import annotations

import json
import re
from typing import Any, Final

MAX_DEPTH: Final = 16
"""Objects and lists may be nested so deep."""


class Number(str):
    """A number, as the literal that stood in the text."""

    __slots__ = ()


class NotStrictError(Exception):
    """The bytes are no strict JSON.

    ``tree`` is what they mean to a lenient reader, None if nothing; ``repeated`` are the keys that occur
    twice in one object, of which ``tree`` holds the last.
    """

    def __init__(self, reason: str, message: str, tree: Any = None, repeated: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.tree = tree
        self.repeated = repeated


def parse(text: bytes) -> Any:
    """The value that a JSON text holds; its numbers are `Number`.

    Raises:
        NotStrictError: invalid_utf8, too_deep, invalid_json, not_finite, duplicate_key or lone_surrogate.
    """
    decoded = _decode(text)
    if _depth(decoded) > MAX_DEPTH:
        raise NotStrictError("too_deep", f"nested deeper than {MAX_DEPTH}")
    lapses = _Lapses()
    try:
        tree = json.loads(
            decoded,
            object_pairs_hook=lapses.members,
            parse_int=Number,
            parse_float=Number,
            parse_constant=lapses.constant,
        )
    except json.JSONDecodeError as error:
        raise NotStrictError("invalid_json", f"{error.msg} at character {error.pos}") from None
    if lapses.first is not None:
        raise NotStrictError(*lapses.first, tree, frozenset(lapses.repeated))
    if "\\u" in decoded and not _encodable(tree):
        raise NotStrictError("lone_surrogate", "a text has half of a surrogate pair", tree)
    return tree


class _Lapses:
    """What the standard library lets pass."""

    def __init__(self) -> None:
        self.first: tuple[str, str] | None = None
        self.repeated: set[str] = set()

    def members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, value in pairs:
            if name in members:
                self.repeated.add(name)
                self.first = self.first or ("duplicate_key", "a key occurs twice in one object")
            members[name] = value
        return members

    def constant(self, literal: str) -> Number:
        self.first = self.first or ("not_finite", f"{literal} is not JSON")
        return Number(literal)


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise NotStrictError("invalid_utf8", f"no UTF-8 at byte {error.start}") from None


# Possessive, and the closing quote may be absent: linear in the length of any text.
_TEXT_OR_BRACKET: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{\]}]', re.DOTALL)


def _depth(text: str) -> int:
    """How deep brackets outside of texts are nested; counting stops one above the maximum."""
    depth = deepest = 0
    for match in _TEXT_OR_BRACKET.finditer(text):
        mark = match[0][0]
        if mark != '"':
            depth += 1 if mark in "[{" else -1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                break
    return deepest


def _encodable(tree: Any) -> bool:
    try:
        json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True

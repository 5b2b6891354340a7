"""YAML with the line of every key, so that an error can name it."""

from contextlib import suppress
from typing import Any, Final

import yaml

from connector.errors import ConfigError

Path = tuple[str | int, ...]
_ALIAS_REMEDY: Final = "put '*' in quotes"
_TEXT: Final = "tag:yaml.org,2002:str"
_MERGE: Final = "tag:yaml.org,2002:merge"
FAST: Any = getattr(yaml, "CSafeLoader", None)
"""libyaml, where PyYAML was built with it: thousands of lines take a third of the time."""
_DEEP: Final = 100
"""Libyaml's loader calls itself for each level, without an end but the stack's."""


class Places:
    """Where each value of the configuration was written: ``file:line``, or a variable of the environment."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._places: dict[Path, str] = {}

    def note(self, path: Path, place: str) -> None:
        """The value at ``path`` was written at ``place``."""
        self._places[path] = place

    def __contains__(self, path: Path) -> bool:
        return path in self._places

    def at(self, path: Path) -> str:
        """Place of the value, or of the nearest part of the tree around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._places:
                return self._places[path[:length]]
        return self._name


def parse(text: str, name: str) -> tuple[dict[str, Any], Places]:
    """The mapping that a YAML text holds and where its parts stand.

    Raises:
        ConfigError: it is no YAML, no mapping, or names a key twice.
    """
    # What libyaml does not take, the other one explains.
    with suppress(yaml.YAMLError, ValueError, RecursionError):
        if FAST is not None and not _deep(text):
            return _read(FAST, text, name)
    try:
        return _read(yaml.SafeLoader, text, name)
    except yaml.YAMLError as error:
        raise ConfigError(_broken(error, name)) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not YAML: {error}; correct it") from None


def _deep(text: str) -> bool:
    depth = 0
    for event in yaml.parse(text, Loader=FAST):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEP:
                return True
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return False


def _read(form: Any, text: str, name: str) -> tuple[dict[str, Any], Places]:
    places = Places(name)
    loader = form(text)
    node = loader.get_single_node()
    _walk(node, (), name, places, set())
    data = loader.construct_document(node) if node is not None else {}
    if not isinstance(data, dict):
        raise ConfigError(f"{name}:1: must be a mapping of keys; see zendesk-chat-kafka config init")
    return data, places


def _walk(node: yaml.Node | None, path: Path, name: str, places: Places, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            child = (*path, str(key.value))
            _note_key(key, child, f"{name}:{key.start_mark.line + 1}", places)
            _walk(value, child, name, places, seen)
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            places.note((*path, at), f"{name}:{value.start_mark.line + 1}")
            _walk(value, (*path, at), name, places, seen)


def _note_key(key: yaml.Node, path: Path, place: str, places: Places) -> None:
    if key.tag == _MERGE:
        return
    if key.tag != _TEXT:
        raise ConfigError(f"{place}: {dotted(path)}: must be text; write the key in quotes")
    if path in places:
        raise ConfigError(f"{place}: {dotted(path)}: stands twice; remove one")
    places.note(path, place)


def _broken(error: yaml.YAMLError, name: str) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or "unreadable characters"
    place = name if mark is None else f"{name}:{mark.line + 1}"
    alias = getattr(error, "context", None) == "while scanning an alias"
    return f"{place}: not YAML: {what}; {_ALIAS_REMEDY if alias else 'correct it'}"


def dotted(path: Path) -> str:
    """``subscriptions[0].metrics[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text

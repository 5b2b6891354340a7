"""Reads the configuration: a YAML file, then the variables of the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from connector.config.explain import explain, section_of, unknown_key
from connector.config.places import Places, parse
from connector.config.tree import Config
from connector.errors import ConfigError

PREFIX: Final = "ZCK_"
OWN: Final = frozenset({"ZCK_CONFIG", "ZCK_TRACEBACK"})
"""Variables of the command line, which are no settings."""

_DOTTED: Final = frozenset({"properties", "property_files"})


def load(path: Path | str | None, environ: Mapping[str, str]) -> Config:
    """The configuration of the file with the environment over it: ``ZCK_SOURCE__URL`` is ``source.url``.

    Raises:
        ConfigError: one line, ``file:line: key: what; remedy``.
    """
    data, places = ({}, Places("environment")) if path is None else parse(_read(Path(path)), str(path))
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in OWN:
            _override(data, places, name, environ[name])
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        lines = explain(error, Config, places)
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise ConfigError(lines[0] + more) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; write one with zendesk-chat-kafka config init") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check its permissions") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; save it as UTF-8") from None


def _override(data: dict[str, Any], places: Places, variable: str, text: str) -> None:
    place = f"environment {variable}"
    parts = variable.removeprefix(PREFIX).lower().split("__")
    model: type[BaseModel] | None = Config
    path: tuple[str, ...] = ()
    for at, part in enumerate(parts):
        if path and path[-1] in _DOTTED:
            path = (*path, "__".join(parts[at:]).replace("_", "."))
            break
        if model is None or part not in model.model_fields:
            known = model.model_fields if model is not None else ()
            raise ConfigError(f"{place}: {'.'.join((*path, part))}: {unknown_key(part, known)}")
        model = section_of(model.model_fields[part].annotation)
        path = (*path, part)
    _put(data, path, _value(text, place), place)
    places.note(path, place)


def _put(data: dict[str, Any], path: tuple[str, ...], value: Any, place: str) -> None:
    for part in path[:-1]:
        if not isinstance(data.get(part), dict):
            if data.get(part) is not None:
                raise ConfigError(f"{place}: {part}: the file gives it no keys; set it in one place only")
            data[part] = {}
        data = data[part]
    data[path[-1]] = value


def _value(text: str, place: str) -> Any:
    """Text as it is; lists and mappings are written as in YAML, [a, b] and {a: b}."""
    if text[:1] not in ("[", "{"):
        return text
    return parse(f"value: {text}", place)[0]["value"]

"""What pydantic found wrong, in one line for the user: the place, the key, what and the remedy."""

import difflib
import inspect
import math
import typing
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from connector.config.places import Path, Places, dotted

_WORDS: Final = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text; write it in quotes",
    "path_type": "must be a path",
    "list_type": "must be a list; write it as [a, b]",
    "dict_type": "must be a mapping; write it as key: value",
    "model_type": "must be a mapping; write it as key: value",
    "model_attributes_type": "must be a mapping; write it as key: value",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}
_CONSEQUENCES: Final = {"default_factory_not_called"}


def explain(error: ValidationError, model: type[BaseModel], places: Places) -> list[str]:
    """One line for each mistake, in the order of the text."""
    details = [detail for detail in error.errors() if detail["type"] not in _CONSEQUENCES]
    lines = [_line(detail, model, places) for detail in details]
    return sorted(lines, key=_order)


def _line(detail: ErrorDetails, model: type[BaseModel], places: Places) -> str:
    path = _path(detail)
    return f"{places.at(path)}: {dotted(path)}: {_what(detail, path, model)}"


def _order(line: str) -> tuple[float, str]:
    """By line of the file; what has no line, since it is missing, comes last."""
    number = line.partition(":")[2].partition(":")[0]
    return (int(number) if number.isdigit() else math.inf), line


def _path(detail: ErrorDetails) -> Path:
    below = detail["ctx"]["path"] if detail["type"] == "problem" else ()
    return (*detail["loc"], *below)


def _what(detail: ErrorDetails, path: Path, model: type[BaseModel]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return f"missing; {_describe(_field(model, path))}"
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), _keys(model, path[:-1]))
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"must be {context['expected']}".replace("'", "")
    if kind in _WORDS:
        return _WORDS[kind].format(**context)
    return detail["msg"]


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What to say of a key that is not among the known ones."""
    return _unknown(key, list(known))


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if close:
        return f"unknown key; did you mean {close[0]}?"
    if not known:
        return "unknown key; no keys are known here, remove it"
    return f"unknown key; known here: {', '.join(known)}"


def _describe(field: FieldInfo | None) -> str:
    description = field.description if field is not None else None
    return f"set it: {description}" if description else "set it"


def _field(model: type[BaseModel], path: Path) -> FieldInfo | None:
    parent = _model(model, path[:-1])
    return parent.model_fields.get(str(path[-1])) if parent is not None else None


def _keys(model: type[BaseModel], path: Path) -> list[str]:
    found = _model(model, path)
    return list(found.model_fields) if found is not None else []


def _model(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The section at ``path``; places in lists are skipped."""
    found: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        if found is None or part not in found.model_fields:
            return None
        found = section_of(found.model_fields[part].annotation)
    return found


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section inside an annotation such as ``list[Subscription]`` or ``OAuth | None``."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        found = section_of(argument)
        if found is not None:
            return found
    return None

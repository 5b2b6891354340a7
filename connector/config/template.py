"""A configuration to begin with: every key with its description and default, made from the settings themselves."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml
from pydantic import BaseModel, PlainSerializer
from pydantic.fields import FieldInfo

from connector.config.explain import section_of
from connector.config.tree import Config

HEAD: Final = """\
# Configuration of zendesk-chat-kafka. Lines with a single # show the defaults.
# Every key can be overridden by the environment: ZCK_SOURCE__URL is source.url.
# Durations: 250ms, 5s, 2m, 12h, 7d. Sizes: 64KiB, 1MB. Secrets are read from files only.
"""
SUBSCRIPTIONS: Final = """\
subscriptions:
  # all chat metrics; missed_chats, satisfaction_good and satisfaction_bad in both windows
  - metrics: ["chats.*"]
    windows: [30, 60]
    departments: [all]
  # the agent metrics, which have no windows
  - metrics: ["agents.*"]
    departments: [all]
"""
_EXAMPLES: Final[dict[tuple[str, ...], Any]] = {
    ("account",): "my-account",
    ("source", "token_file"): "/run/secrets/zendesk-chat/token",
    ("kafka", "bootstrap_servers"): "localhost:9092",
    ("registry", "urls"): ["http://localhost:8081"],
}


def template() -> str:
    """The text of a commented configuration file."""
    return f"{HEAD}\n" + "\n".join(_section(Config, ()))


def _section(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        own = (*path, name)
        indent = "  " * len(path)
        yield f"{indent}## {field.description}"
        yield from _field(own, field, indent)
        if not path:
            yield ""


def _field(path: tuple[str, ...], field: FieldInfo, indent: str) -> Iterator[str]:
    name = path[-1]
    section = section_of(field.annotation)
    active = any(example[: len(path)] == path for example in _EXAMPLES)
    if path == ("subscriptions",):
        yield SUBSCRIPTIONS.rstrip()
    elif section is not None:
        yield f"{indent}{'' if active else '# '}{name}:"
        yield from _section(section, path)
    else:
        value = _EXAMPLES.get(path, _default(field))
        yield f"{indent}{'' if active else '# '}{name}:{_flow(value)}"


def _default(field: FieldInfo) -> Any:
    if field.is_required() or field.default_factory is not None:
        return None
    for part in field.metadata:
        if isinstance(part, PlainSerializer):
            as_written: Callable[[Any], str] = part.func  # type: ignore[assignment]
            return as_written(field.default)
    return field.default


def _flow(value: Any) -> str:
    if value is None:
        return ""
    return " " + yaml.safe_dump(value, default_flow_style=True, width=200).removesuffix("\n...\n").strip()

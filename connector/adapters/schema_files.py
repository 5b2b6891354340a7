"""The ``.avsc`` files: one top-level copy in a checkout, inside the package in a wheel."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from connector.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.domain.topics import Topics

NAMES: Final = ("metric-update", "source-offset", "heartbeat", "gap", "dead-letter")
REMEDY: Final = "run zendesk-chat-kafka provision"
"""What brings a schema that the registry does not have."""
_PACKAGE: Final = Path(__file__).resolve().parent.parent
_FOLDERS: Final = (_PACKAGE / "schemas", _PACKAGE.parent / "schemas")


@cache
def schema_text(name: str) -> str:
    """The text of one schema, by the name of its file without ``.avsc``.

    Raises:
        LocalError: the installation is incomplete.
    """
    for folder in _FOLDERS:
        file = folder / f"{name}.avsc"
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise LocalError(f"schemas/{name}.avsc: missing from the installation; install zendesk-chat-kafka again")


@cache
def parsed(name: str) -> Any:
    """The schema as fastavro wants it, parsed once."""
    import fastavro  # noqa: PLC0415 - commands that write nothing do not wait for it

    return fastavro.parse_schema(json.loads(schema_text(name)))


def by_topic(topics: Topics, metrics: tuple[str, ...]) -> dict[str, str]:
    """The schema of each topic that carries one."""
    named = dict.fromkeys(metrics, "metric-update")
    if topics.latest is not None:
        named[topics.latest] = "metric-update"
    return named | {
        topics.gaps: "gap",
        topics.dead_letters: "dead-letter",
        topics.heartbeats: "heartbeat",
        topics.offsets: "source-offset",
    }


def subject_of(topic: str) -> str:
    """Subject of a topic's values: TopicNameStrategy."""
    return f"{topic}-value"


def by_subject(schemas: Mapping[str, str]) -> dict[str, str]:
    """The schema of each subject, from the schema of each topic."""
    return {subject_of(topic): name for topic, name in schemas.items()}

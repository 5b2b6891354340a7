"""``tail``: committed records, decoded."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.config import ConfigFile, config_path

if TYPE_CHECKING:
    from connector.cli.records import Row
    from connector.config import Config


class TopicKind(StrEnum):
    """Which of the account's topics."""

    metrics = "metrics"
    latest = "latest"
    gaps = "gaps"
    heartbeats = "heartbeats"
    dead_letters = "dead-letters"
    offsets = "offsets"


class Start(StrEnum):
    """Where reading begins."""

    beginning = "beginning"
    end = "end"


def tail(
    *,
    config_file: ConfigFile = None,
    topic: Annotated[TopicKind, typer.Option(help="Which topic.")] = TopicKind.metrics,
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric: missed_chats or chats.missed_chats.")
    ] = None,
    department: Annotated[list[str] | None, typer.Option(help="Only this department: an id, or all.")] = None,
    series: Annotated[list[str] | None, typer.Option(help="Only this series: chats.missed_chats|30|5.")] = None,
    start: Annotated[Start, typer.Option("--from", help="Where to begin.")] = Start.end,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many records.")] = None,
    follow: Annotated[bool, typer.Option(help="Wait for more; --no-follow ends at the end of the topic.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show committed records of a topic, decoded."""
    from connector.cli.records import Filter, Reader
    from connector.config import load

    config = load(config_path(config_file), os.environ)
    wanted = Filter(_metric_keys(metric or []), frozenset(department or []), frozenset(series or []))
    reader = Reader(config, topics_of(config, topic), from_beginning=start is Start.beginning, follow=follow)
    shown = 0
    for row in reader.rows():
        if wanted.matches(row):
            _print(row, topic, as_json=as_json)
            shown += 1
            if shown == limit:
                break
    reader.close()


def topics_of(config: Config, kind: TopicKind) -> tuple[str, ...]:
    """The topics of a kind.

    Raises:
        ConfigError: the configuration has none.
    """
    from connector.cli.provision import metrics_topics
    from connector.errors import ConfigError

    names = config.names
    if kind is TopicKind.metrics:
        return metrics_topics(config)
    name: str | None = getattr(names, kind.name)
    if name is None:
        raise ConfigError("topics.latest_enabled: false, there is no such topic; tail another one")
    return (name,)


def _metric_keys(names: list[str]) -> frozenset[str]:
    """Metric keys without their family.

    Raises:
        ConfigError: an unknown metric.
    """
    from connector.domain.metrics import BY_NAME
    from connector.errors import ConfigError

    keys = frozenset(name.rpartition(".")[2] for name in names)
    for key in keys - {metric.key for metric in BY_NAME.values()}:
        raise ConfigError(f'--metric: unknown metric "{key}"; the metrics are {", ".join(BY_NAME)}')
    return keys


def _print(row: Row, topic: TopicKind, *, as_json: bool) -> None:
    from connector.cli.console import print_json, print_line

    if as_json:
        print_json(row.as_json())
    else:
        print_line(row.as_text(topic.value))

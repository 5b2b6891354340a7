"""``provision``: topics and schemas, created or compared."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.config import ConfigFile, config_path

if TYPE_CHECKING:
    from connector.adapters.admin import Provisioned
    from connector.adapters.registry import Registration
    from connector.config import Config


def provision(
    config_file: ConfigFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    schemas_only: Annotated[
        bool, typer.Option("--schemas-only", help="Somebody else makes the topics: only look whether they fit.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Create the missing topics, register the schemas; name what differs. Nothing that exists is altered."""
    from connector.adapters.admin import refuse
    from connector.adapters.registry import SchemaRegistry
    from connector.adapters.schema_files import by_topic
    from connector.cli.console import print_json
    from connector.config import load
    from connector.errors import SchemaError

    config = load(config_path(config_file), os.environ)
    metrics = metrics_topics(config)
    topics = _provision_topics(config, metrics, dry_run=dry_run or schemas_only)
    if schemas_only:
        topics = [one._replace(action="missing") if one.action == "to create" else one for one in topics]
    with SchemaRegistry(config.registry) as registry:
        subjects = registry.register_all(by_topic(config.names, metrics), dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "topics": _topics(topics), "subjects": [one._asdict() for one in subjects]})
    else:
        _print(topics, subjects)
    refuse([difference for one in topics for difference in one.differences])
    _refuse_missing(topics)
    for one in subjects:
        if one.action == "refused":
            raise SchemaError(f"subject {one.subject}: {one.schema}.avsc is incompatible: {'; '.join(one.messages)}")


def _refuse_missing(topics: list[Provisioned]) -> None:
    """With --schemas-only a topic that nobody has made yet is an error: whoever called tries again.

    Raises:
        SinkRejected: a topic is missing.
    """
    from connector.errors import SinkRejected

    missing = [one.topic for one in topics if one.action == "missing"]
    if missing:
        remedy = "wait for whoever makes the topics, or run zendesk-chat-kafka provision without --schemas-only"
        raise SinkRejected(f"topics that do not exist: {', '.join(missing)}; {remedy}")


def metrics_topics(config: Config) -> tuple[str, ...]:
    """Every metrics topic; asks the source for ids only where the topics' names contain them.

    Raises:
        ConnectorError: the source cannot be asked.
    """
    if "{department}" not in config.topics.metrics or not config.department_names:
        return config.metrics_topics()

    async def ask() -> tuple[str, ...]:
        from connector.adapters.source import Access
        from connector.runtime.budget import Budget

        async with Access(config, Budget(config.source.requests_per_minute)) as access:
            return config.names.metrics_all(await access.series())

    return asyncio.run(ask())


def _provision_topics(config: Config, metrics: tuple[str, ...], *, dry_run: bool) -> list[Provisioned]:
    from connector.adapters.admin import Admin, topics_of

    admin = Admin(config.kafka, strict=config.guarantee == "strict")
    return admin.provision(topics_of(config, metrics), dry_run=dry_run)


def _topics(topics: list[Provisioned]) -> list[dict[str, Any]]:
    return [{**one._asdict(), "differences": [difference.text for difference in one.differences]} for one in topics]


def _print(topics: list[Provisioned], subjects: list[Registration]) -> None:
    from connector.cli.console import print_line, print_table

    print_table(["TOPIC", "STATE", "PARTITIONS"], [(one.topic, one.action, one.partitions) for one in topics])
    for difference in (difference for one in topics for difference in one.differences):
        print_line(difference.text, "red" if difference.fatal else "yellow")
    print_line("")
    rows = [(one.subject, one.action, f"{one.schema}.avsc", one.schema_id or "", one.level or "") for one in subjects]
    print_table(["SUBJECT", "STATE", "SCHEMA", "ID", "LEVEL BEFORE"], rows)
    for one in subjects:
        for message in one.messages:
            print_line(f"subject {one.subject}: {message}", "red")

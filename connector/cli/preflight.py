"""The checks behind ``check``: each one gives findings, none stops the others."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from rich.progress import Progress

from connector.adapters.answers import NotFound
from connector.adapters.rest import RestClient
from connector.adapters.source import Departments, resolve_departments
from connector.cli.console import errors
from connector.config import loose_mode, read_secret
from connector.domain.metrics import AGENTS
from connector.domain.model import Series
from connector.errors import ConfigError, ConnectorError, SourceRejected, SourceUnavailable
from connector.runtime.budget import Budget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from connector.adapters.answers import Reading
    from connector.config import Config


class Finding(NamedTuple):
    """One line of the report. ``exit_code`` is that of a failure, 0 otherwise."""

    state: str
    """pass | warn | fail"""
    subject: str
    text: str
    remedy: str = ""
    exit_code: int = 0


def failed(subject: str, error: ConnectorError) -> Finding:
    """A failure; our errors say what and, after a semicolon, the remedy."""
    text, _, remedy = str(error).removeprefix(f"{subject}: ").partition("; ")
    return Finding("fail", subject, text, remedy, error.exit_code)


async def preflight(config: Config) -> list[Finding]:
    """Every check, from the configuration outwards."""
    findings = [_guarantee(config), *_secrets(config)]
    if not any(one.state == "fail" and one.subject.startswith("source.") for one in findings):
        findings += [finding async for finding in _source(config)]
    findings += await asyncio.to_thread(lambda: [*_topics(config), *_schemas(config)])
    return findings


def _guarantee(config: Config) -> Finding:
    series = len(config.series(dict.fromkeys(config.department_names, 0), [0] if config.every_department else ()))
    more = " (for one department in place of '*')" if config.every_department else ""
    text = f"account {config.account}, {series} series{more}, guarantee {config.guarantee}"
    if config.guarantee == "strict":
        return Finding("pass", "configuration", text)
    return Finding("warn", "configuration", text, "guarantee: strict keeps the whole promise")


# Secrets.


def _secrets(config: Config) -> Iterator[Finding]:
    for place, path in _secret_files(config).items():
        try:
            read_secret(path, place, lines=place.startswith("kafka."))
        except ConfigError as error:
            yield failed(place, error)
            continue
        warning = loose_mode(path, place)
        if warning is None:
            yield Finding("pass", place, f"{path} is readable")
        else:
            text, _, remedy = warning.removeprefix(f"{place}: ").partition("; ")
            yield Finding("warn", place, text, remedy)


def _secret_files(config: Config) -> dict[str, Path]:
    source, registry = config.source, config.registry
    named = {
        "source.token_file": source.token_file,
        "source.oauth.client_secret_file": source.oauth.client_secret_file if source.oauth else None,
        "registry.basic.password_file": registry.basic.password_file if registry.basic else None,
        "registry.token_file": registry.token_file,
        **{f"kafka.property_files.{name}": path for name, path in config.kafka.property_files.items()},
    }
    return {place: path for place, path in named.items() if path is not None}


# Source.


async def _source(config: Config) -> AsyncIterator[Finding]:
    try:
        async with RestClient(config.source, Budget(config.source.requests_per_minute)) as client:
            yield await _token(client)
            departments = Departments({})
            async for finding, found in _departments(config, client):
                departments = found
                yield finding
            async for finding in _readings(config, client, departments):
                yield finding
    except ConnectorError as error:
        yield failed("source", error)


async def _token(client: RestClient) -> Finding:
    """The smallest question that needs the token, to the server that the stream is on."""
    with suppress(NotFound):
        await client.reading(Series(AGENTS, "agents_online"))
    return Finding("pass", "token", "accepted by the source")


async def _departments(config: Config, client: RestClient) -> AsyncIterator[tuple[Finding, Departments]]:
    try:
        departments = await resolve_departments(config, client)
    except ConnectorError as error:
        yield failed("departments", error), Departments({})
        return
    for name in departments.missing:
        text = f"the account has no department named {name!r}"
        remedy = "check its spelling; an id is written without quotes"
        yield Finding("fail", "departments", text, remedy, ConfigError.exit_code), departments
    if not departments.missing and (config.department_names or config.every_department):
        found = len(departments.every) or len(departments.names)
        yield Finding("pass", "departments", f"{found} found"), departments


async def _readings(config: Config, client: RestClient, departments: Departments) -> AsyncIterator[Finding]:
    """Each series through the REST twin, one request for each family and department."""
    groups: dict[tuple[str, int | None], list[Series]] = defaultdict(list)
    for series in config.series(departments.names, departments.every):
        groups[series.family, series.department_id].append(series)
    confirmed = 0
    with Progress(console=errors(), transient=True, disable=not errors().is_terminal) as progress:
        task = progress.add_task("subscriptions", total=len(groups))
        for (family, department_id), group in groups.items():
            subject = f"{family}.* of department {department_id or 'all'}"
            try:
                readings = await client.readings(group)
            except (SourceRejected, SourceUnavailable) as error:
                yield failed(subject, error)
                if not isinstance(error, NotFound):
                    # A refused token or a source out of reach fails every other request too.
                    return
                continue
            finally:
                progress.advance(task)
            confirmed += sum(reading.computed for reading in readings.values())
            for finding in _unconfirmed(readings):
                yield finding
    if confirmed:
        yield Finding("pass", "subscriptions", f"{confirmed} series have a value now")


def _unconfirmed(readings: dict[Series, Reading]) -> Iterator[Finding]:
    for series, reading in readings.items():
        if not reading.computed:
            yield Finding("warn", series.name, "no value yet", "unconfirmed until the source computes one")


# Kafka and registry.


def _topics(config: Config) -> Iterator[Finding]:
    from connector.adapters.admin import Admin, topics_of

    if config.guarantee == "demo":
        return
    try:
        admin = Admin(config.kafka, strict=config.guarantee == "strict")
        brokers = admin.brokers()
        topics = topics_of(config, _metrics(config))
        differences = admin.inspect(topics)
    except ConnectorError as error:
        yield failed("kafka", error)
        return
    few = brokers < config.kafka.replication_factor
    remedy = "fewer than kafka.replication_factor: topics cannot be created now" if few else ""
    yield Finding("warn" if few else "pass", "kafka", f"{brokers} brokers", remedy)
    for one in differences:
        text, _, remedy = one.text.partition("; ")
        yield Finding("fail" if one.fatal else "warn", "topics", text, remedy, 4 if one.fatal else 0)
    if not differences:
        yield Finding("pass", "topics", f"{len(topics)} as configured")


def _schemas(config: Config) -> Iterator[Finding]:
    from connector.adapters.registry import SchemaRegistry
    from connector.adapters.schema_files import by_topic

    try:
        registry = SchemaRegistry(config.registry)
    except ConnectorError as error:
        yield failed("registry", error)
        return
    wanted = by_topic(config.names, _metrics(config))
    found = 0
    for topic, name in wanted.items():
        try:
            registry.verify_registered({topic: name})
            found += 1
        except ConnectorError as error:
            yield failed("registry", error)
            if error.recovery.value == "retry":
                break
    registry.close()
    if found == len(wanted):
        yield Finding("pass", "registry", f"{found} subjects hold our schemas")


def _metrics(config: Config) -> tuple[str, ...]:
    return config.metrics_topics()

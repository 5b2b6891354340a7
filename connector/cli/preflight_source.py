"""The checks of ``check`` that concern the source: found, encrypted, let in, departments, every subscription."""

from __future__ import annotations

import ssl
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from rich.progress import Progress

from connector.adapters.answers import NotFound
from connector.adapters.handshake import shake_hands
from connector.adapters.reach import addresses, encryption, said
from connector.adapters.rest import RestClient
from connector.adapters.source import Departments, resolve_departments
from connector.cli.build import endpoint_of
from connector.cli.console import errors
from connector.cli.finding import Finding, failed
from connector.errors import ConfigError, ConnectorError, SourceRejected, SourceUnavailable
from connector.runtime.budget import Budget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from connector.adapters.answers import Reading
    from connector.config import Config
    from connector.domain.model import Series

PORTS: Final = {"wss": 443, "https": 443, "ws": 80, "http": 80}
SKEW: Final = 2.0
"""Seconds; the header names whole seconds, so less is not known."""

EXPIRES: Final = 14.0
"""Days of a certificate that are few."""


async def source_findings(config: Config, names: dict[str, int]) -> AsyncIterator[Finding]:
    """From the name of the host to the value of each series; puts the ids of the departments into ``names``."""
    reachable = True
    async for finding in reach_findings(config):
        reachable = reachable and finding.state != "fail"
        yield finding
    if not reachable:
        return
    budget = Budget(config.source.requests_per_minute)
    try:
        async with RestClient(config.source, budget) as client:
            for finding in await _hand_shaken(config, client, budget):
                yield finding
            departments = Departments({})
            async for finding, found in _departments(config, client):
                departments = found
                names.update(found.names)
                yield finding
            async for finding in _readings(config, client, departments):
                yield finding
    except ConnectorError as error:
        yield failed("source", error)


# The way there.


async def reach_findings(config: Config) -> AsyncIterator[Finding]:
    """DNS and TLS of every server of the source, each once."""
    source = config.source
    urls = {source.url: "source", source.rest_url: "source", source.departments_url: "source"}
    if source.oauth is not None:
        urls[source.oauth.token_url] = "source"
    seen = set()
    for url in urls:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        if (host, port) in seen:
            continue
        seen.add((host, port))
        yield await _found(host, port)
        if parts.scheme in ("wss", "https"):
            yield await _encrypted(host, port, source.ca_file, source.open_timeout)


async def _found(host: str, port: int) -> Finding:
    try:
        found = await addresses(host, port)
    except OSError as error:
        text = f"{host}: {error.strerror or error}"
        return Finding("fail", "source", text, "check the URL and the name servers", SourceUnavailable.exit_code)
    return Finding("pass", "dns", f"{host} is {', '.join(found[:3])}")


async def _encrypted(host: str, port: int, ca_file: Path | None, timeout: float) -> Finding:  # noqa: ASYNC109
    where = f"{host}:{port}"
    try:
        agreed = await encryption(host, port, ca_file, timeout=timeout)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        remedy = "correct the host, or name its certificate authority in source.ca_file"
        return Finding("fail", "source", f"{where}: TLS: {reason}", remedy, SourceUnavailable.exit_code)
    except OSError as error:
        text = f"{where}: {said(error)}"
        return Finding("fail", "source", text, "check source and network", SourceUnavailable.exit_code)
    text = f"{where} {agreed.version}, certificate valid for {agreed.days_left:.0f} days"
    if agreed.days_left < EXPIRES:
        return Finding("warn", "tls", text, "its owner has to renew it")
    return Finding("pass", "tls", text)


async def _hand_shaken(config: Config, client: RestClient, budget: Budget) -> list[Finding]:
    """One session, opened and closed.

    Raises:
        ConnectorError
    """
    token = await client.token()
    await budget.acquire()
    try:
        ahead = await shake_hands(endpoint_of(config.source), token, f"check-{uuid.uuid4().hex}", config.source)
    except SourceUnavailable as error:
        if error.reason == "auth":
            raise SourceRejected(str(error)) from error
        raise
    return [Finding("pass", "token", "opens the stream"), _clock(ahead)]


def _clock(ahead: float | None) -> Finding:
    if ahead is None:
        return Finding("pass", "clock", "not compared: the source does not tell its time")
    if abs(ahead) > SKEW:
        text = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the source's"
        return Finding("warn", "clock", text, "synchronise this machine's clock; receipt times are taken from it")
    return Finding("pass", "clock", f"within {SKEW:.0f} s of the source's")


# What is asked for.
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

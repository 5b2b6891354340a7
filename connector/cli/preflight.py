"""The checks behind ``check`` and at the start of ``run``: each one gives findings, none stops the others."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from connector.cli.finding import Finding, failed, promise
from connector.cli.preflight_kafka import kafka_findings
from connector.config import loose_mode, read_secret
from connector.errors import ConfigError, ConnectorError, SinkRejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from connector.config import Config

__all__ = ["Finding", "preflight", "promise", "refuse_start", "start_findings"]

BYTES_PER_UPDATE: Final = 300
"""About what one update takes in the journal."""


async def preflight(config: Config) -> list[Finding]:
    """Every check, from the configuration outwards."""
    from connector.cli.preflight_source import source_findings

    names: dict[str, int] = {}
    findings = [_guarantee(config), *_secrets(config), *_buffer(config)]
    if not any(one.state == "fail" and one.subject.startswith("source.") for one in findings):
        findings += [finding async for finding in source_findings(config, names)]
    metrics = config.metrics_topics(dict.fromkeys(config.department_names, 0) | names)
    findings += await asyncio.to_thread(lambda: [*_topics(config, metrics), *_schemas(config, metrics)])
    return [*findings, _promise(config, findings)]


def start_findings(config: Config, metrics: tuple[str, ...]) -> list[Finding]:
    """What costs little and writes nothing, for the start of `run`; blocks. ``metrics``: the metrics topics."""
    return [*_secrets(config), *_buffer(config), *kafka_findings(config, metrics, probe=False)]


def refuse_start(findings: Iterable[Finding]) -> None:
    """Name the first failure.

    Raises:
        ConnectorError: with the exit code of the failure.
    """
    failures = [finding for finding in findings if finding.state == "fail"]
    if failures:
        first, more = failures[0], len(failures) - 1
        text = f"{first.subject}: {first.text}" + (f"; {first.remedy}" if first.remedy else "")
        raise _StartRefused(text + (f" (and {more} more, see zendesk-chat-kafka check)" if more else ""), first)


class _StartRefused(SinkRejected):
    def __init__(self, text: str, finding: Finding) -> None:
        super().__init__(text)
        self.exit_code = finding.exit_code or SinkRejected.exit_code  # type: ignore[misc]


def _guarantee(config: Config) -> Finding:
    series = len(config.series(dict.fromkeys(config.department_names, 0), [0] if config.every_department else ()))
    more = " (for one department in place of '*')" if config.every_department else ""
    text = f"account {config.account}, {series} series{more}, guarantee {config.guarantee}"
    if config.guarantee == "strict":
        return Finding("pass", "configuration", text)
    return Finding("warn", "configuration", text, "guarantee: strict keeps the whole promise")


def _promise(config: Config, findings: list[Finding]) -> Finding:
    holds, why = promise(config, findings)
    if any(one.state == "fail" and not one.weakens for one in findings):
        return Finding("warn", "promise", "not known before the failures above are mended")
    if holds == "strict":
        return Finding("pass", "promise", "nothing is published twice; every update is in the topic or a declared gap")
    more = f" (and {len(why) - 1} more)" if len(why) > 1 else ""
    return Finding("warn", "promise", f"{holds} only: {why[0]}{more}", "see the remedies above")


# This machine.


def secret_files(config: Config) -> dict[str, Path]:
    """Every file with a secret that the configuration names, by the place that names it."""
    return dict(_files(config, ""))


def _files(section: BaseModel, place: str) -> Iterator[tuple[str, Path]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _files(value, f"{place}{name}.")
        elif name == "property_files":
            yield from ((f"{place}{name}.{key}", path) for key, path in value.items())
        elif name.endswith("_file") and name != "ca_file" and value is not None:
            yield f"{place}{name}", value


def _secrets(config: Config) -> Iterator[Finding]:
    for place, path in secret_files(config).items():
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


def _buffer(config: Config) -> Iterator[Finding]:
    disk = config.buffer.disk
    if disk is None:
        return
    place = "buffer.disk.path"
    if not (disk.path.is_dir() and os.access(disk.path, os.W_OK | os.X_OK)):
        text = f"{disk.path} is no folder that can be written"
        yield Finding("fail", place, text, "create it for the user of this process", ConfigError.exit_code)
        return
    free, wanted = shutil.disk_usage(disk.path).free, disk.max_updates * BYTES_PER_UPDATE
    text = f"{disk.path} has {free / 1e9:.1f} GB free, {disk.max_updates} updates take about {wanted / 1e9:.1f} GB"
    if free < wanted:
        yield Finding("warn", place, text, "make room, or lower buffer.disk.max_updates")
    else:
        yield Finding("pass", place, text)


# Kafka and registry.


def _topics(config: Config, metrics: tuple[str, ...]) -> list[Finding]:
    return kafka_findings(config, metrics, probe=True)


def _schemas(config: Config, metrics: tuple[str, ...]) -> Iterator[Finding]:
    from connector.adapters.registry import LEVEL, SchemaRegistry
    from connector.adapters.schema_files import by_topic, subject_of

    try:
        registry = SchemaRegistry(config.registry)
    except ConnectorError as error:
        yield failed("registry", error)
        return
    wanted = by_topic(config.names, metrics)
    found = 0
    with registry:
        for topic, name in wanted.items():
            try:
                registry.verify_registered({topic: name})
                found += 1
                level = registry.level(subject_of(topic))
            except ConnectorError as error:
                yield failed("registry", error)
                if error.recovery.value == "retry":
                    return
                continue
            if level != LEVEL:
                own = "no compatibility level of its own" if level is None else f"compatibility level {level}"
                text = f"subject {subject_of(topic)} has {own}, not {LEVEL}"
                yield Finding("warn", "registry", text, "run zendesk-chat-kafka provision")
    if found == len(wanted):
        yield Finding("pass", "registry", f"{found} subjects hold our schemas")

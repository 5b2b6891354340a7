"""``replay``: a recording into a cluster."""

from __future__ import annotations

import os
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.config import ConfigFile  # noqa: TC001 - same

if TYPE_CHECKING:
    from connector.adapters.recording import Recording
    from connector.adapters.replay import Replay, Replayed
    from connector.config import Kafka, Registry

REPLICAS = 3


def replay(
    *,
    recording_folder: Annotated[
        Path | None, typer.Argument(metavar="[RECORDING]", help="Folder of the recording; the hour that is included.")
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(envvar="KAFKA_BOOTSTRAP_SERVERS", help="Brokers, without a configuration file.")
    ] = None,
    registry: Annotated[
        str | None, typer.Option(envvar="SCHEMA_REGISTRY_URL", help="Schema registry, without a configuration file.")
    ] = None,
    config_file: ConfigFile = None,
    prefix: Annotated[str, typer.Option(help="Prefix of the topics that are written.")] = "sample",
    provision: Annotated[bool, typer.Option("--provision", help="Create the topics that are missing.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Move every time so that the recording ends now.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write even where topics have records, or a connector runs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Write a recording into a cluster: topics to consume without a token of Zendesk.

    Kafka and the registry are those of --config, or --bootstrap-servers and --registry.
    """
    from connector.adapters.recording import Recording
    from connector.adapters.registry import SchemaRegistry
    from connector.adapters.replay import Replay
    from connector.domain.topics import check_name
    from connector.errors import ConfigError

    try:
        check_name(prefix)
    except ValueError as error:
        raise ConfigError(f"--prefix: {error}") from None
    recording = Recording(recording_folder)
    kafka, registry_settings = _servers(config_file, bootstrap_servers, registry)
    shift_ms = int(time.time() * 1000) - recording.ended_ms if now else 0
    replaying = Replay(recording, kafka, prefix=prefix, shift_ms=shift_ms)
    replaying.prepare(provision=provision, force=force)
    with SchemaRegistry(registry_settings) as client:
        ids = replaying.register(client)
    done = _run(replaying, recording, ids)
    _print(done, recording, prefix, shift_ms, as_json=as_json)


def _servers(config_file: Path | None, bootstrap_servers: str | None, registry: str | None) -> tuple[Kafka, Registry]:
    """The cluster and the registry to use.

    Raises:
        ConfigError: neither a file nor both addresses.
    """
    from pydantic import ValidationError

    from connector.adapters.admin import Admin
    from connector.config import Kafka, Registry, load
    from connector.errors import ConfigError

    if config_file is not None:
        config = load(config_file, os.environ)
        return config.kafka, config.registry
    if bootstrap_servers is None or registry is None:
        raise ConfigError("where to? give --bootstrap-servers and --registry, or --config")
    kafka = Kafka(bootstrap_servers=bootstrap_servers, replication_factor=1, min_insync_replicas=1)
    try:
        found = Registry(urls=[registry])
    except ValidationError as error:
        raise ConfigError(f"--registry {registry}: {error.errors()[0]['msg']}") from None
    if Admin(kafka, strict=False).brokers() >= REPLICAS:
        kafka = kafka.model_copy(update={"replication_factor": REPLICAS, "min_insync_replicas": REPLICAS - 1})
    return kafka, found


def _run(replaying: Replay, recording: Recording, ids: dict[int, int]) -> Replayed:
    from rich.progress import Progress

    from connector.cli.console import errors

    console = errors()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=sum(recording.counts.values()))
        return replaying.run(ids, lambda count: bar.advance(task, count))


def _print(done: Replayed, recording: Recording, prefix: str, shift_ms: int, *, as_json: bool) -> None:
    from connector.cli.console import print_json, print_line, print_table

    topics: dict[str, Any] = {f"{prefix}.{name}": count for name, count in recording.counts.items()}
    if as_json:
        print_json({"prefix": prefix, "shift_ms": shift_ms, "topics": topics, **done._asdict()})
        return
    print_table(["TOPIC", "RECORDS"], list(topics.items()))
    print_line(f"{done.records} records in {done.transactions} transactions, {done.seconds} s")

"""``run``: the connector itself."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import TYPE_CHECKING, Final

from connector.adapters.client import event_loop
from connector.adapters.log import LogObserver, configure
from connector.adapters.lookup import Lookup
from connector.adapters.source import Access
from connector.cli.build import Build
from connector.cli.config import ConfigFile, config_path
from connector.cli.observe import Observation
from connector.cli.preflight import promise, refuse_start, start_findings
from connector.cli.promises import Promises
from connector.cli.reload import Reload
from connector.cli.restrict import restrict_process
from connector.cli.signals import Signals
from connector.config import load
from connector.errors import SourceUnavailable
from connector.runtime.backoff import Backoff
from connector.runtime.budget import Budget

if TYPE_CHECKING:
    from pathlib import Path

    from connector.config import Config
    from connector.domain.model import Series

GRACE: Final = 5.0
"""Seconds beyond shutdown_timeout until an end in order is given up."""
GENERATIONS: Final = (50_000, 20, 50)
"""Python's default of 700 new objects is some fifty updates."""


def run(config_file: ConfigFile = None) -> None:
    """Follow the configured metrics and publish every update, until stopped."""
    restrict_process()
    file = config_path(config_file)
    config = load(file, os.environ)
    configure(config.log.level, config.log.format)
    with asyncio.Runner(loop_factory=event_loop(config.source.client)) as runner:
        runner.run(_run(config, file))


async def _run(config: Config, file: Path | None) -> None:
    signals = Signals(config.shutdown_timeout + GRACE)
    try:
        await _connect(config, file, signals)
    except asyncio.CancelledError:
        if not signals.stopping:
            raise


async def _connect(config: Config, file: Path | None, signals: Signals) -> None:
    log = LogObserver(config.account)
    budget = Budget(config.source.requests_per_minute)
    access = Access(config, budget)
    observation = Observation(config, budget, lambda: access.departments)
    # The probes answer from the beginning: waiting for the source is no reason to be restarted.
    async with observation.serve(), access:
        build = Build(
            config, budget=budget, token=access.token, resolve=access.series, observers=[log, *observation.observers]
        )
        series = await _first_series(config, access, log)
        holds, why = await _prepare(config, build, series)
        observation.know(build)
        promises = Promises(config, build.metrics, [log.promised, observation.promised])
        promises.tell(holds, why)
        supervisor = build.supervisor(series)
        _settle_memory()
        observation.ready = lambda: supervisor.ready
        reload = Reload(file, config, access=access, build=build, supervisor=supervisor)
        signals.lead_to(stop=supervisor.stop, reload=reload.ask)
        pushing = observation.otlp
        runs = [reload.run(), promises.run(), *([pushing.run()] if pushing is not None else [])]
        watching = [asyncio.create_task(one) for one in runs]
        try:
            await supervisor.run()
        finally:
            for one in watching:
                one.cancel()
            if pushing is not None:
                await pushing.close()


def _settle_memory() -> None:
    """Updates are freed by their reference counts: looking through them for cycles costs a tenth of the CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GENERATIONS)


async def _prepare(config: Config, build: Build, series: tuple[Series, ...]) -> tuple[str, list[str]]:
    """Ask the registry, for the last time, and Kafka at the same time; the promise that holds.

    Raises:
        SchemaError, RegistryUnavailable, SinkRejected, SinkUnavailable
    """
    build.place(series)
    checking = asyncio.create_task(asyncio.to_thread(start_findings, config, build.metrics))
    try:
        async with Lookup(config.registry) as lookup:
            await build.learn(lookup)
    finally:
        findings = await checking
    refuse_start(findings)
    return promise(config, findings)


async def _first_series(config: Config, access: Access, log: LogObserver) -> tuple[Series, ...]:
    """What is configured at first; waits while the source cannot tell the departments."""
    backoff = Backoff(config.source.backoff.initial, config.source.backoff.maximum)
    while True:
        try:
            return await access.series()
        except SourceUnavailable as error:
            wait = backoff.next(at_least=error.retry_after or 0.0)
            log.waiting(str(error), wait)
            await asyncio.sleep(wait)

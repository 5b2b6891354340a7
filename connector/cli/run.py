"""``run``: the connector itself."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from connector.adapters.admin import Admin, refuse, topics_of
from connector.adapters.log import LogObserver, configure
from connector.adapters.registry import SchemaRegistry
from connector.adapters.source import Access
from connector.cli.build import Build
from connector.cli.config import ConfigFile, config_path
from connector.cli.reload import Reload
from connector.config import load
from connector.errors import SourceUnavailable
from connector.runtime.backoff import Backoff
from connector.runtime.budget import Budget

if TYPE_CHECKING:
    from pathlib import Path

    from connector.config import Config
    from connector.domain.model import Series
    from connector.runtime.supervisor import Supervisor


def run(config_file: ConfigFile = None) -> None:
    """Follow the configured metrics and publish every update, until stopped."""
    file = config_path(config_file)
    config = load(file, os.environ)
    configure(config.log.level, config.log.format)
    asyncio.run(_run(config, file))


async def _run(config: Config, file: Path | None) -> None:
    log = LogObserver(config.account)
    budget = Budget(config.source.requests_per_minute)
    async with Access(config, budget) as access:
        with SchemaRegistry(config.registry) as registry:
            build = Build(
                config,
                registry=registry,
                budget=budget,
                token=access.token,
                resolve=access.series,
                observers=[log],
            )
            series = await _first_series(config, access, log)
            supervisor = build.supervisor(series)
            if config.guarantee != "demo":
                topics = topics_of(config, build.metrics)
                refuse(Admin(config.kafka, strict=config.guarantee == "strict").inspect(topics))
        reload = Reload(file, config, access=access, build=build, supervisor=supervisor)
        _obey_signals(supervisor, reload)
        watching = asyncio.create_task(reload.run(), name="reload")
        try:
            await supervisor.run()
        finally:
            watching.cancel()


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


def _obey_signals(supervisor: Supervisor, reload: Reload) -> None:
    """SIGHUP reads the configuration again; the first SIGINT or SIGTERM ends in order, a second one at once."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def stop(number: int) -> None:
        seen.append(number)
        if len(seen) > 1:
            os._exit(128 + number)
        supervisor.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, reload.ask)

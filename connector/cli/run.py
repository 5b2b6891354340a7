"""``run``: the connector itself."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from connector.adapters.log import LogObserver, configure
from connector.cli.build import Build
from connector.config import load
from connector.runtime.budget import Budget

if TYPE_CHECKING:
    from connector.config import Config
    from connector.runtime.supervisor import Supervisor


def run(
    config_file: Annotated[
        Path, typer.Option("--config", "-c", envvar="ZCK_CONFIG", help="Configuration file.")
    ] = Path("zendesk-chat-kafka.yaml"),
) -> None:
    """Follow the configured metrics and publish every update, until stopped."""
    config = load(config_file, os.environ)
    configure(config.log.level, config.log.format)
    asyncio.run(_run(config))


async def _run(config: Config) -> None:
    from connector.adapters.registry import SchemaRegistry
    from connector.adapters.source import Access

    budget = Budget(config.source.requests_per_minute)
    registry = SchemaRegistry(config.registry)
    async with Access(config, budget) as access:
        build = Build(
            config,
            registry=registry,
            budget=budget,
            token=access.token,
            resolve=access.series,
            observers=[LogObserver(config.account)],
        )
        supervisor = build.supervisor(await access.series())
        stopping = _stop_on_signals(supervisor)
        await supervisor.run()
        stopping.clear()


def _stop_on_signals(supervisor: Supervisor) -> list[int]:
    """The first signal ends in order, a second one at once."""
    seen: list[int] = []
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        seen.append(number)
        if len(seen) > 1:
            os._exit(128 + number)
        supervisor.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    return seen

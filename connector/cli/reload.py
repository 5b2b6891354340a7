"""Live changes: a new configuration is applied as a difference, a new token by a new session."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Final

from connector.adapters.log import configure
from connector.config import Config, load
from connector.domain.events import Reloaded
from connector.errors import ConfigError, ConnectorError
from connector.runtime.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from connector.adapters.source import Access
    from connector.cli.build import Build
    from connector.runtime.supervisor import Supervisor

LIVE: Final = frozenset({"subscriptions", "log.level"})
"""Settings that take effect at once; every other one needs a restart."""

INTERVAL: Final = 1.0
"""Seconds between two looks at the files."""


class Reload:
    """Watches the files of a running connector and applies what changes.

    A bad configuration is refused whole, and the old one stays.
    """

    def __init__(
        self, file: Path | None, config: Config, *, access: Access, build: Build, supervisor: Supervisor
    ) -> None:
        self._file = file
        self._config = config
        self._access = access
        self._build = build
        self._supervisor = supervisor
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """SIGHUP: read everything again, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        secrets, kafka = self._secrets(), self._config.kafka.property_files
        watch = Watch([*secrets, *kafka.values(), *([] if self._file is None else [self._file])])
        while True:
            asked = await self._wait()
            changed = watch.changed()
            if asked or self._file in changed:
                await self._reload()
            if changed.intersection(secrets):
                await self._rotate()
            stale = sorted(name for name, path in kafka.items() if path in changed)
            if stale:
                names = ", ".join(f"kafka.property_files.{name}" for name in stale)
                self._tell(f"the file changed; only a restart applies {names}", applied=False)

    async def _wait(self) -> bool:
        try:
            async with asyncio.timeout(INTERVAL):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    async def _reload(self) -> None:
        try:
            config = load(self._file, os.environ)
            restart = needs_restart(self._config, config)
            if config.subscriptions != self._config.subscriptions:
                await self._apply(config)
        except ConnectorError as error:
            self._tell(str(error), applied=False)
            return
        if config.log.level != self._config.log.level:
            configure(config.log.level, self._config.log.format)
        log = self._config.log.model_copy(update={"level": config.log.level})
        self._config = self._config.model_copy(update={"subscriptions": config.subscriptions, "log": log})
        note = f"; only a restart applies {', '.join(restart)}" if restart else ""
        self._tell(f"{len(self._build.pipeline.configured)} series{note}", applied=True)

    async def _apply(self, config: Config) -> None:
        """Apply the difference of the subscriptions on the open session.

        Raises:
            ConnectorError: nothing was changed.
        """
        missing = sorted(set(config.metrics_topics()) - set(self._build.metrics))
        if missing:
            raise ConfigError(f"subscriptions: topic {missing[0]} is new; run provision, then restart")
        series = await self._access.reconfigure(config)
        self._supervisor.change(series)

    async def _rotate(self) -> None:
        try:
            await self._build.follower.rotate()
        except ConnectorError as error:
            self._tell(f"the new token is not used: {error}", applied=False)
        else:
            self._tell("token or credentials read again", applied=True)

    def _secrets(self) -> list[Path]:
        source = self._config.source
        oauth = None if source.oauth is None else source.oauth.client_secret_file
        return [path for path in (source.token_file, oauth) if path is not None]

    def _tell(self, message: str, *, applied: bool) -> None:
        self._build.pipeline.handle(Reloaded(applied, message, time.time_ns() // 1000))


def needs_restart(old: Config, new: Config) -> list[str]:
    """Names of the settings that differ and that a running connector does not change."""
    return sorted(set(_differences(old.model_dump(), new.model_dump(), "")) - LIVE)


def _differences(before: Any, after: Any, place: str) -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            name
            for key in before.keys() | after.keys()
            for name in _differences(before.get(key), after.get(key), f"{place}.{key}" if place else str(key))
        ]
    return [] if before == after else [place]

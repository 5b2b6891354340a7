"""Wires what watches the connector: status, metrics and their server."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from connector import __version__
from connector.adapters.members import Members
from connector.adapters.prometheus import PrometheusObserver
from connector.domain.health import STRICT
from connector.web.around import Surroundings
from connector.web.model import Member
from connector.web.observer import Pulse, StatusObserver
from connector.web.server import Site, serve
from connector.web.view import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from connector.adapters.otlp import Otlp
    from connector.cli.build import Build
    from connector.config import Config
    from connector.domain.events import Event
    from connector.runtime.budget import Budget


class Observation:
    """Status and metrics of one connector; ``observers`` are to receive its events.

    Args:
        departments: names by id, as far as they are known.
    """

    def __init__(self, config: Config, budget: Budget, departments: Callable[[], Mapping[int, str]]) -> None:
        self._config = config
        self.ready: Callable[[], bool] = bool
        """Whether the replica could take over; not before there is one."""
        self._build: Build | None = None
        self._pulse = Pulse()
        self._status = StatusObserver(time.time_ns() // 1000)
        described = Members(config.kafka.connection(), config.names.group) if config.ownership == "group" else None
        self._members = described
        self._around = Surroundings(
            members=self._describe if described is not None else None,
            budget=lambda: (budget.used(), budget.per_minute),
            departments=departments,
            waiting=self._waiting,
        )
        self._metrics = PrometheusObserver(
            self._status.status,
            account=config.account,
            version=__version__,
            budget=lambda: (budget.used(), budget.per_minute),
            members=self._around.members,
            lag=self._pulse.lag,
            waiting=self._waiting,
            limit=_limit(config),
            disk=self._journals,
            strict=config.guarantee == "strict",
            holds=self._promise_holds,
            series_limit=config.http.series_metrics,
            heartbeat=config.heartbeat.interval,
        )
        self.observers: list[Callable[[Event], None]] = [self._status, self._metrics]
        self.otlp = self._otlp()
        if self.otlp is not None:
            self.observers.append(self.otlp)

    def serve(self) -> AbstractAsyncContextManager[str | None]:
        """Serve while the context is open; gives the address, None if ``http.enabled`` is false.

        Raises:
            ConfigError: http.token_file cannot be used.
            LocalError: the address cannot be listened on.
        """
        if not self._config.http.enabled:
            return nullcontext()
        site = Site(
            self._config.http,
            observer=self._status,
            identity=self._identity(),
            surroundings=self._around,
            pulse=self._pulse,
            metrics=self._metrics.render,
            ready=self._could_take_over,
        )
        return serve(self._config.http, site)

    def _otlp(self) -> Otlp | None:
        config = self._config
        if config.otlp is None:
            return None
        from connector.adapters.otlp import Otlp

        collect = self._metrics.collect
        return Otlp(config.otlp, collect, account=config.account, instance=config.instance, version=__version__)

    def _could_take_over(self) -> bool:
        return self.ready()

    def know(self, build: Build) -> None:
        """The connector is made."""
        self._build = build
        self._metrics.producers = build.producers

    def promised(self, holds: str, why: list[str]) -> None:
        """Which promise holds by the newest checks, and why it is no better."""
        self._around.promise = holds, why

    def _promise_holds(self) -> bool | None:
        known = self._around.promise
        return None if known is None else known[0] == STRICT

    def _waiting(self) -> int | None:
        return None if self._build is None else self._build.pipeline.waiting

    def _journals(self) -> int | None:
        if self._build is None or self._config.buffer.disk is None:
            return None
        return sum(journal.size for journal in self._build.journals.values())

    def _identity(self) -> Identity:
        config = self._config
        return Identity(config.account, config.instance, __version__, config.guarantee, config.heartbeat.interval)

    async def _describe(self) -> list[Member]:
        assert self._members is not None
        this = self._config.instance
        return [Member(*one, this=one.name == this) for one in await self._members.describe()]


def _limit(config: Config) -> int:
    disk = config.buffer.disk
    return config.buffer.max_updates if disk is None else max(disk.max_updates, config.buffer.max_updates)

"""Wires what watches the connector: status, metrics and their server."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from connector import __version__
from connector.adapters.members import Members
from connector.adapters.prometheus import PrometheusObserver
from connector.web.around import Surroundings
from connector.web.model import Member
from connector.web.observer import Pulse, StatusObserver
from connector.web.server import Site, serve
from connector.web.view import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

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
        self._pulse = Pulse()
        self._status = StatusObserver(time.time_ns() // 1000)
        described = Members(config.kafka.connection(), config.names.group) if config.ownership == "group" else None
        self._members = described
        self._around = Surroundings(
            members=self._describe if described is not None else None,
            budget=lambda: (budget.used(), budget.per_minute),
            departments=departments,
        )
        self._metrics = PrometheusObserver(
            self._status.status,
            account=config.account,
            version=__version__,
            budget=lambda: (budget.used(), budget.per_minute),
            members=self._around.members,
            lag=self._pulse.lag,
            strict=config.guarantee == "strict",
            series_limit=config.http.series_metrics,
            heartbeat=config.heartbeat.interval,
        )
        self.observers: list[Callable[[Event], None]] = [self._status, self._metrics]

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

    def _could_take_over(self) -> bool:
        return self.ready()

    def _identity(self) -> Identity:
        config = self._config
        weak = config.kafka.min_insync_replicas < 2
        why = "kafka.min_insync_replicas is below 2." if weak else f"guarantee: {config.guarantee} is configured."
        return Identity(config.account, config.instance, __version__, config.guarantee, why, config.heartbeat.interval)

    async def _describe(self) -> list[Member]:
        assert self._members is not None
        this = self._config.instance
        return [Member(*one, this=one.name == this) for one in await self._members.describe()]

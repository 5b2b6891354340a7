"""The emulator on one port: stream, REST twin, Departments API, token endpoint and control API."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from connector.emulator.accounts import Accounts
from connector.emulator.connection import Connection
from connector.emulator.control import Control
from connector.emulator.endpoints import Endpoints
from connector.emulator.gate import Gate
from connector.emulator.hub import Hub
from connector.emulator.journal import Journal
from connector.emulator.pump import Blast, Pump
from connector.emulator.settings import EmulatorSettings
from connector.emulator.world import Change, World
from connector.errors import LocalError

if TYPE_CHECKING:
    from connector.emulator.session import Session

HOUSEKEEPING = 0.05
"""Seconds between two looks at timeouts and the journal."""


class Emulator:
    """The whole source for one account: ``async with Emulator(EmulatorSettings()) as emulator: …``.

    `control` does everything that the control API does, by the same names.
    """

    def __init__(self, settings: EmulatorSettings | None = None) -> None:
        self.settings = settings or EmulatorSettings()
        given = self.settings
        self.world = World(
            departments=given.departments,
            seed=given.seed,
            scenario=given.scenario,
            first_department_id=given.first_department_id,
        )
        self.behaviour = given.behaviour
        self.hub = Hub(self.world, given.behaviour)
        self.hub.cold = given.cold
        self.gate = Gate(Accounts(given.tokens, given.clients), given.limits, given.behaviour)
        self.pump = Pump(self.world, self.hub, push=self.push, flush=self.flush)
        self.pump.rate, self.pump.speed = given.rate, given.speed
        self.connections = self.pump.connections
        self.finished = asyncio.Event()
        """Set when the control API asks for the end."""
        self.port = given.port
        self.opened = 0
        """Connections since the start."""
        self.pushed = 0
        """Updates published by the world or by the control API, delivered or not."""
        self.frames_of_closed = 0
        """Frames sent on sessions that ended."""
        self.journal: Journal | None = None
        self._by_session: dict[Session, Connection] = {}
        self._control = Control(self)
        self._tasks: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None

    # Life

    async def __aenter__(self) -> Self:
        """Start serving.

        Raises:
            LocalError: port, journal or TLS directory cannot be used.
        """
        if self.settings.journal is not None:
            self.journal = Journal(self.settings.journal, sync=self.settings.journal_sync)
        try:
            await self._listen()
        except BaseException:
            await self.stop()
            raise
        if self.settings.blast:
            self.pump.paused = True
            self.blast(size=self.settings.blast, rate=self.settings.rate)
        self.apply_behaviour()
        self._tasks = [asyncio.create_task(self.pump.run()), asyncio.create_task(self._keep_house())]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close every session (1001) and the port; the journal is complete afterwards."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for connection in list(self.connections.values()):
            connection.close(1001, "emulator stops")
        if self._runner is not None:
            await self._runner.cleanup()
        if self.journal is not None:
            self.journal.close()
            self.journal = None

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", Endpoints(self, self._control).serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        given = self.settings
        tls = None
        if given.tls is not None:
            from connector.emulator.tls import server_context  # noqa: PLC0415 - cryptography is slow to import

            tls = server_context(given.tls, given.host)
        try:
            await web.TCPSite(self._runner, given.host, given.port, ssl_context=tls).start()
        except OSError as error:
            reason = error.strerror or error
            raise LocalError(f"port {given.port} on {given.host}: {reason}; choose another with --port") from error
        self.port = self._runner.addresses[0][1]

    async def _keep_house(self) -> None:
        while True:
            for connection in list(self.connections.values()):
                connection.tick()
            if self.journal is not None:
                self.journal.flush()
            await asyncio.sleep(HOUSEKEEPING)

    # Addresses

    @property
    def http_url(self) -> str:
        """Root of the REST, token and control addresses."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"{'https' if self.settings.tls else 'http'}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """Address of the stream."""
        return f"ws{self.http_url.removeprefix('http')}/stream"

    # Sessions

    def enter(self, session_id: str, transport: asyncio.Transport, token: str | None) -> Connection:
        """A session was admitted and upgraded; without a token it will be told 401."""
        self.opened += 1
        session = self.hub.session(session_id or f"session-{self.opened}", authenticated=token is not None)
        connection = Connection(
            session,
            transport,
            number=self.opened,
            token=token,
            behaviour=self.behaviour,
            journal=self.journal,
        )
        self.connections[connection.number] = connection
        self._by_session[session] = connection
        if self.journal is not None:
            role = self.gate.accounts.tokens.get(token or "", "")
            self.journal.opened(session.id, connection.number, role)
        return connection

    def leave(self, connection: Connection) -> None:
        """A session is over."""
        self.hub.leave(connection.session)
        del self.connections[connection.number]
        del self._by_session[connection.session]
        self.frames_of_closed += connection.frames
        if self.journal is not None:
            self.journal.closed(connection.session.id, connection.number, connection.frames)

    # Pushing

    def push(self, changes: list[Change]) -> int:
        """Deliver changes to the subscribers' outboxes; returns the number of frames."""
        self.pushed += len(changes)
        if self.journal is not None and self.settings.journal_all and changes:
            self.journal.published(time.time_ns() // 1000, changes)
        return self.hub.deliver(changes)

    def flush(self) -> None:
        """Send what waits in the outboxes."""
        waiting, self.hub.waiting = self.hub.waiting, {}
        for session in waiting:
            self._by_session[session].flush()

    def blast(self, *, size: int, rate: float | None, seconds: float | None = None, only: str | None = None) -> None:
        """Send `size` pre-made updates over and over, for a while or for ever."""
        until = float("inf") if seconds is None else asyncio.get_running_loop().time() + seconds
        self.pump.blasts.append(Blast(self.hub, size=size, rate=rate, until=until, only=only))

    def apply_behaviour(self) -> None:
        """Hand the switches that concern the world to it."""
        self.world.float_averages = self.behaviour.float_averages
        self.world.negatives = self.behaviour.negatives
        self.world.push_ageing = self.behaviour.ageing

    def control(self, command: str, **arguments: Any) -> dict[str, Any]:
        """What ``POST /_control/{command}`` does.

        Raises:
            ConfigError: no such command, or wrong arguments.
        """
        return self._control.obey(command, arguments)

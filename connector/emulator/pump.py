"""The pace of the emulator: real time, sped up, at a rate of frames, or a blast of pre-made frames."""

from __future__ import annotations

import asyncio
from itertools import cycle, islice
from typing import TYPE_CHECKING, NamedTuple

from connector.emulator.world import FAR, Change, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connector.emulator.connection import Connection
    from connector.emulator.frames import Frame
    from connector.emulator.hub import Hub

TICK = 0.005
"""Seconds between two looks at the world when it is fast."""
IDLE_TICK = 0.05
"""Seconds between two looks at most."""
WORK = 0.02
"""Seconds of the world's work before others get their turn."""
MOST_CHANGES = 50
"""Changes of the world per frame that somebody gets, at most, to reach a rate."""
BLAST_CHUNK = 1000
BLAST_BUFFER = 1 << 20
"""Bytes under way beyond which a blast waits."""


class _Supply(NamedTuple):
    """Frames made for the subscriptions of one connection."""

    subscriptions: int
    frames: list[Frame]


class Blast:
    """Sends a fixed set of updates over and over, of the series that each connection subscribed to."""

    def __init__(self, hub: Hub, *, size: int, rate: float | None, until: float, only: str | None = None) -> None:
        self.until = until
        """When it ends, by the loop's clock."""
        self._hub = hub
        self._size = size
        self._rate = rate
        self._only = only
        self._credit = 0.0
        self._supplies: dict[Connection, _Supply] = {}

    def send(self, connections: Iterable[Connection], elapsed: float) -> int:
        """Send what `elapsed` seconds allow; returns the number of frames."""
        reading = [one for one in connections if self._only in (None, one.session.id) and one.session.subscriptions]
        if not reading:
            return 0
        if self._rate is None:
            return sum(self._fill(connection) for connection in reading)
        self._credit += self._rate * min(elapsed, 0.1) / len(reading)
        count = int(self._credit)
        self._credit -= count
        for connection in reading:
            self._send(connection, count)
        return count * len(reading)

    def _fill(self, connection: Connection) -> int:
        sent = 0
        while sent < 10 * BLAST_CHUNK and connection.unsent < BLAST_BUFFER and not connection.gone:
            self._send(connection, BLAST_CHUNK)
            sent += BLAST_CHUNK
        return sent

    def _send(self, connection: Connection, count: int) -> None:
        supply = self._supply(connection)
        position = connection.frames % self._size
        connection.session.outbox += supply.frames[position : position + count]
        missing = count - (self._size - position)
        if missing > 0:
            connection.session.outbox += islice(cycle(supply.frames), missing)
        connection.flush()

    def _supply(self, connection: Connection) -> _Supply:
        subscriptions = connection.session.subscriptions
        supply = self._supplies.get(connection)
        if supply is None or supply.subscriptions != len(subscriptions):
            series = islice(cycle(subscriptions), self._size)
            made = [self._hub.frame(one, str(number)) for number, one in enumerate(series)]
            supply = self._supplies[connection] = _Supply(len(subscriptions), made)
        return supply


class Pump:
    """Lets the world live and its changes flow.

    `push` delivers changes to the sessions and returns how many frames that made; `flush` sends them.
    """

    def __init__(
        self, world: World, hub: Hub, *, push: Callable[[list[Change]], int], flush: Callable[[], None]
    ) -> None:
        self.rate: float | None = None
        self.speed = 1.0
        self.paused = False
        self.blasts: list[Blast] = []
        self.connections: dict[int, Connection] = {}
        """Where blasts go."""
        self._world = world
        self._hub = hub
        self._push = push
        self._flush = flush
        self._credit = 0.0
        self._behind = 0.0

    async def run(self) -> None:
        """Keep the pace until cancelled."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            now = loop.time()
            self._turn(loop, now - last)
            last = now
            await asyncio.sleep(self._pause(loop.time() - now))

    def _turn(self, loop: asyncio.AbstractEventLoop, elapsed: float) -> None:
        now = loop.time()
        self.blasts = [blast for blast in self.blasts if now < blast.until]
        for blast in self.blasts:
            blast.send(self.connections.values(), elapsed)
        if self.paused:
            return
        if self.rate is None:
            self._live(loop, elapsed)
        else:
            self._push_at_rate(loop, elapsed, self.rate)
        self._flush()

    def _live(self, loop: asyncio.AbstractEventLoop, elapsed: float) -> None:
        deadline = loop.time() + WORK
        self._behind += elapsed * 1000 * self.speed
        target = self._world.now + int(self._behind)
        while self._world.next_at() <= target and loop.time() < deadline:
            self._behind -= self._world.next_at() - self._world.now
            self._push(self._world.step())
        if self._world.next_at() > target:
            self._behind -= target - self._world.now
            self._world.run_until(target)

    def _push_at_rate(self, loop: asyncio.AbstractEventLoop, elapsed: float, rate: float) -> None:
        deadline = loop.time() + WORK
        self._credit = min(self._credit + rate * elapsed, max(1.0, rate * 0.1))
        while self._credit >= 1 and loop.time() < deadline and self._world.next_at() != FAR:
            changes = self._world.step()
            frames = self._push(changes)
            self._credit -= self._price(frames, len(changes))

    def _price(self, frames: int, changes: int) -> float:
        """Without subscribers the world goes on as if one had subscribed to everything.

        With few, so rarely concerned that the rate cannot be had, the world does not run away.
        """
        return max(frames, changes / MOST_CHANGES) if self._hub.listening else changes

    def _pause(self, worked: float) -> float:
        if self.blasts:
            return 0.001
        if self.rate is not None and not self.paused:
            return max(0.0, TICK - worked)
        due = (self._world.next_at() - self._world.now) / 1000 / self.speed
        return min(IDLE_TICK, max(TICK, due))

"""The emulator's world and sessions over the simulation's sockets: real frames, no network, no clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from connector.emulator import frames
from connector.emulator.behaviour import Behaviour
from connector.emulator.hub import Hub
from connector.emulator.scenario import Scenario
from connector.emulator.world import World as Account
from connector.errors import SourceUnavailable
from tests.sim.source import Socket

if TYPE_CHECKING:
    from tests.sim.world import Machine, World

LATENCY = 0.03
LONG_IDS = {36000012345683: "Overflow", 36000012345685: "Weekend"}
"""Departments with ids as large accounts have them; their keys fall on partitions that the others leave empty."""


class Source:
    """One account, alive in virtual time."""

    late_authentication = True
    """The emulator's session greets by itself."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.latency = LATENCY
        self.refusing = False
        self.sockets: list[Talk] = []
        self.account = Account(departments=3, seed=seed, scenario=Scenario(arrival_every=400, reply=40, reaction=60))
        for number, name in LONG_IDS.items():
            self.account.add_department(number, name)
        self.account.float_averages = True
        self.account.negatives = 0.05
        self.account.push_ageing = True
        self.hub = Hub(self.account, Behaviour(cold="null", negatives=0.05, ageing=True))
        self.hub.cold = True
        self._began = self.account.now
        self._plan()

    async def connect(self, machine: Machine, session_id: str) -> Talk:
        """A handshake."""
        await asyncio.sleep(self.world.rng.random() * self.latency)
        if self.refusing:
            raise SourceUnavailable("source: refused")
        talk = Talk(self, machine, session_id)
        self.sockets.append(talk)
        machine.ends.append(talk.vanish)
        return talk

    # What happens to it.

    def thaw(self) -> None:
        """Values are computed from now on; all of them are pushed."""
        self.hub.thaw()
        self._flush()

    def put(self, series: Any, literal: str) -> None:
        """Show this JSON literal for a series, whatever it is, until an event changes it."""
        self.hub.deliver([self.account.set_value(series, literal)])
        self._flush()

    def garble(self) -> None:
        """Send half a frame."""
        for talk in self.sockets:
            talk.session.outbox.append(frames.data_frame("malformed", b'{"status_code":200,"cont'))
            talk.flush()

    def cut(self) -> None:
        """Every connection breaks; what is on its way is lost."""
        for talk in list(self.sockets):
            talk.cut(flush=False)

    def _plan(self) -> None:
        due = (self.account.next_at() - self._began) / 1000
        self.world.at(max(due, self.world.now), None, self._live, ())

    def _live(self) -> None:
        self.hub.deliver(self.account.step())
        self._flush()
        self._plan()

    def _flush(self) -> None:
        for talk in self.sockets:
            talk.flush()


class Talk(Socket):
    """One connection: the wire of the simulation, the session of the emulator."""

    def __init__(self, source: Source, machine: Machine, session_id: str) -> None:
        super().__init__(source, machine, session_id)
        self.session = source.hub.session(session_id, authenticated=True)
        self.session.open()
        self.flush()

    def flush(self) -> None:
        """Send what the session has to say."""
        for frame in self.session.outbox:
            self.frames += 1
            self._put(self.arrival(), frame.payload)
        self.session.outbox.clear()

    def _hear(self, message: str) -> None:
        self.source.hub.receive(self.session, message)
        self.flush()

    def _forget(self) -> None:
        super()._forget()
        self.source.hub.leave(self.session)

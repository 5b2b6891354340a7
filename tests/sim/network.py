"""The way between one process and Kafka: delays, losses, resets, and the points at which a process may die."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .broker import Broker
    from .world import Machine, Thread


class Network:
    """One process's connections to the cluster. Probabilities per request, times in seconds."""

    def __init__(self, machine: Machine, broker: Broker) -> None:
        self.machine = machine
        self.world = machine.world
        self.rng = machine.world.rng
        self.down = False
        self.socket_timeout = 4.0
        self.latency = 0.003
        self.late = 0.0
        """How often a request is overtaken by its own copy and arrives late."""
        self.lossy = 0.0
        self.wandering = 0.0
        """How often the coordinator has just moved."""
        self.traps: list[tuple[str, int, str]] = []
        self._broker = broker

    def fate(self, kind: str) -> tuple[float | None, float | None, float | None]:
        """Delay there (None: lost), delay back (None: lost), and when the client sees the connection break, if."""
        rng = self.rng
        there, back = rng.random() * self.latency, rng.random() * self.latency
        chance = rng.random()
        if chance < self.late:
            return rng.random() ** 2 * 3.0, None, rng.uniform(0.01, 0.4)
        if chance < self.late + self.lossy:
            lost = rng.randrange(3)
            dropped = rng.uniform(0.01, 0.5) if rng.random() < 0.7 else None
            return (None if lost == 0 else there), (None if lost == 1 else back + (lost == 2) * 2.0), dropped
        return there, back, None

    def deliver(self, kind: str, args: tuple[Any, ...]) -> Any:
        """The broker's answer."""
        if self.wandering and kind != "produce" and self.rng.random() < self.wandering:
            return "NOT_COORDINATOR" if kind != "init" else ("NOT_COORDINATOR", -1, -1)
        answer = getattr(self._broker, kind)(*args)
        if self.world.lines is not None:
            detail = args[1:] if kind != "produce" else (args[2], [place for place, _, _ in args[3]])
            self.world.trace("%s -> broker: %s %s: %s", self.machine.name, kind, detail, answer)
        return answer

    def split(self, batches: list[Any]) -> list[list[Any]]:
        """Which partitions share a broker, hence a request."""
        if len(batches) == 1:
            return [batches]
        at = self.rng.randrange(len(batches))
        return [group for group in (batches[:at], batches[at:]) if group]

    def full(self) -> bool:
        """The client's queue is full just now."""
        return False

    def point(self, name: str, thread: Thread) -> None:
        """A place in the sink's thread at which a trap may be set: ``(place, how many passes yet, what happens)``."""
        for at, (place, passes, action) in enumerate(self.traps):
            if place == name:
                if passes > 0:
                    self.traps[at] = place, passes - 1, action
                    continue
                del self.traps[at]
                self._spring(name, action, thread)
                return

    def _spring(self, name: str, action: str, thread: Thread) -> None:
        self.world.trace("%s: trap at %s: %s", self.machine.name, name, action)
        if action == "kill":
            self.world.soon(None, self.machine.kill, ())
            thread.wait(1e6)
        elif action == "freeze":
            seconds = self.rng.uniform(0.5, 20.0)
            self.world.soon(None, self.machine.freeze, ())
            self.world.later(seconds, self.machine.thaw)
            thread.wait(0.001)
        else:
            thread.sleep(self.rng.uniform(0.05, 2.0))

"""One seed: processes, faults and their healing, until everything the source sent is accounted for."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from .broker import Broker
from .controls import CONTROLS
from .oracle import Finding, judge
from .replica import TOPICS, Replica, virtual_time
from .settings import Settings, draw
from .source import Source
from .world import World

if TYPE_CHECKING:
    from connector.domain.model import Series

GROUP_TIMEOUT = 6.0
PATIENCE = 150.0
"""Seconds after the last fault in which everything must be published."""


class Scenario:
    """What happens in one run. ``subscribed_at``: since when each series is followed without end."""

    def __init__(self, seed: int, *, control: str = "none", trace: bool = False, verify: bool = True) -> None:
        self.world = World(seed, trace=trace)
        self.rng = self.world.rng
        self.more = random.Random(f"{seed} more")
        self.settings: Settings = draw(self.rng, self.more, verify=verify)
        self.control = CONTROLS[control]()
        self.broker = Broker(self.world, verify=verify)
        settings = self.settings
        self.source = Source(self.world, settings.series, toggles=settings.toggles, snapshots=settings.snapshots)
        self.source.latency = settings.latency
        self.source.malformed = settings.malformed
        self.source.late_authentication = self.rng.random() < 0.1
        self.replicas: list[Replica] = []
        self.configured: tuple[Series, ...] = settings.series
        self.owners: dict[int, Replica | None] = dict.fromkeys(range(settings.shards))
        self.stepped = False
        self.truncated: set[int] = set()
        """Shards of whose offsets somebody deleted records."""
        self.retired: set[Series] = set()
        """Series that were not configured for a while."""
        self.healing = False
        self.changing = True
        self.world.trace("%s", settings)

    def run(self) -> list[Finding]:
        """Everything, and what is wrong with it."""
        with virtual_time(self.world):
            self._begin()
            self.world.run(self.settings.faults_until)
            self._heal()
            self.world.run(self.world.now + 4.0)
            self.changing = False
            at_rest = self._rest()
            findings = self._stop()
            for replica in self.replicas:
                if replica.error is not None:
                    findings.append(Finding("error", f"{replica.machine.name}: {replica.error!r}"))
                replica.machine.kill()
        if not at_rest:
            findings.append(Finding("live", "not everything was published in time"))
        return findings + judge(self)

    def _begin(self) -> None:
        for number in range(self.settings.replicas):
            self._launch("AB"[number])
        for group in self.settings.frames:
            self._schedule_change(list(group))
        for _ in range(self.settings.faults):
            self.world.later(self.rng.uniform(0.0, self.settings.faults_until), self._fault)
        for _ in range(self.settings.truncations):
            self.world.later(self.more.uniform(0.0, self.settings.faults_until), self._truncate)

    def _schedule_change(self, group: list[Series]) -> None:
        quiet = self.rng.random() < 0.02
        self.world.later(self.rng.expovariate(1 / self.settings.interval) + quiet * 5.0, self._change, group)

    def _change(self, group: list[Series]) -> None:
        if self.changing:
            self.source.change(group if self.rng.random() < 0.5 else [self.rng.choice(group)])
            self._schedule_change(group)

    # Processes and the group.

    def _launch(self, owner: str) -> None:
        replica = Replica(self.world, self.settings, self.broker, self.source, owner, self.control)
        if not self.healing:
            replica.network.late = self.settings.late
            replica.network.lossy = self.settings.lossy
            replica.network.wandering = self.settings.wandering
        self.replicas.append(replica)
        self.world.trace("%s: started", replica.machine.name)
        replica.start(self.configured)
        self.world.later(self.rng.uniform(0.01, 0.5), self._balance)

    def _members(self) -> list[Replica]:
        return [one for one in self.replicas if one.alive and one.membership.joined and not one.machine.frozen]

    def _balance(self) -> None:
        """Give every shard without an owner to a member."""
        members = self._members()
        for shard, owner in self.owners.items():
            if owner is not None and owner in members:
                if shard not in owner.membership.owned:
                    self._tell(owner, "assign", shard)
                continue
            if owner is not None and owner.alive:
                self._lose(owner, shard)
            self.owners[shard] = self.rng.choice(members) if members else None
            new = self.owners[shard]
            if new is not None:
                self._tell(new, "assign", shard)

    def _tell(self, replica: Replica, what: str, shard: int, **more: Any) -> None:
        self.world.trace("group: %s %s %d lost=%s", replica.machine.name, what, shard, more.get("lost"))
        membership = getattr(replica.membership, what)
        replica.machine.call_later(self.rng.uniform(0.0, 0.3), lambda: membership(shard, **more))

    def _gone(self, replica: Replica) -> None:
        """The group notices after its session timeout."""
        self.world.later(self.rng.uniform(0.0, GROUP_TIMEOUT), self._balance)

    # Faults.

    def _fault(self) -> None:
        alive = [one for one in self.replicas if one.alive]
        if self.healing or not alive:
            return
        name = self.rng.choice(FAULTS)
        self.world.trace("fault: %s", name)
        getattr(self, f"_fault_{name}")(self.rng.choice(alive))

    def _fault_kill(self, replica: Replica) -> None:
        replica.machine.kill()
        self._gone(replica)
        owner = replica.owner if self.rng.random() < 0.7 else replica.owner + "'"
        self.world.later(self.rng.uniform(0.05, 5.0), self._launch, owner)

    def _fault_trap(self, replica: Replica) -> None:
        """The process dies, stops or stumbles at a place in its sink's thread."""
        place = self.rng.choice(("flush", "commit", "commit", "committed", "committed", "read", "init"))
        action = self.rng.choice(("kill", "kill", "freeze", "slow"))
        replica.network.traps.append((place, self.rng.randrange(4), action))
        self.world.later(3.0, self._mend, replica)

    def _mend(self, replica: Replica) -> None:
        replica.network.traps.clear()
        if not replica.alive:
            self._launch(replica.owner)
        self._gone(replica)

    def _fault_freeze(self, replica: Replica) -> None:
        replica.machine.freeze()
        self._gone(replica)
        self.world.later(self.rng.uniform(0.2, 14.0), replica.machine.thaw)

    def _fault_term(self, replica: Replica) -> None:
        if replica.supervisor is not None:
            replica.machine.call_soon(replica.supervisor.stop)
        self.world.later(self.rng.uniform(0.1, 3.0), self._launch, replica.owner)

    def _fault_cut(self, replica: Replica) -> None:
        """Cut from Kafka; all replicas, as in an outage, or one."""
        targets = [replica] if self.rng.random() < 0.4 else self.replicas
        seconds = self.rng.choice((0.3, 2.0, 8.0)) * self.rng.uniform(0.5, 1.5)
        for one in targets:
            one.network.down = True
            self.world.later(seconds, setattr, one.network, "down", False)
        if seconds > GROUP_TIMEOUT:
            self.world.later(GROUP_TIMEOUT, self._lose_touch, targets, seconds - GROUP_TIMEOUT)

    def _lose_touch(self, targets: list[Replica], seconds: float) -> None:
        """Members that do not reach the group lose what they own; afterwards it is anybody's, theirs too."""
        for shard, owner in self.owners.items():
            if owner is not None and owner.alive and owner in targets:
                self._tell(owner, "revoke", shard, lost=True)
        self.world.later(seconds + self.rng.uniform(0.0, 3.0), self._regroup)

    def _regroup(self) -> None:
        members = self._members()
        for shard, owner in self.owners.items():
            if owner is not None and owner.alive and shard not in owner.membership.owned:
                self.owners[shard] = new = self.rng.choice(members) if members else None
                if new is not owner:
                    self._lose(owner, shard)
                if new is not None:
                    self._tell(new, "assign", shard)

    def _fault_slow(self, replica: Replica) -> None:
        replica.network.latency = self.rng.choice((0.1, 0.6, 1.5))
        self.broker.marker_delay = self.rng.choice((0.004, 0.3))
        self.world.later(self.rng.uniform(0.5, 6.0), setattr, replica.network, "latency", 0.003)

    def _fault_late(self, replica: Replica) -> None:
        replica.network.late = 0.4
        self.world.later(self.rng.uniform(0.5, 4.0), setattr, replica.network, "late", self.settings.late)

    def _fault_lossy(self, replica: Replica) -> None:
        replica.network.lossy = 0.3
        self.world.later(self.rng.uniform(0.5, 4.0), setattr, replica.network, "lossy", self.settings.lossy)

    def _fault_drop(self, replica: Replica) -> None:
        for socket in list(self.source.sockets):
            if socket.machine is replica.machine:
                self.source.drop(socket, flush=self.rng.random() < 0.5)
        if self.rng.random() < 0.3:
            self.source.refusing = True
            self.world.later(self.rng.uniform(0.1, 3.0), setattr, self.source, "refusing", False)

    def _fault_half_open(self, replica: Replica) -> None:
        for socket in list(self.source.sockets):
            if socket.machine is replica.machine:
                socket.half_open = True

    def _fault_stall(self, replica: Replica) -> None:
        for socket in self.source.sockets:
            if socket.machine is replica.machine:
                socket.stalled_until = self.world.now + self.rng.uniform(0.1, 4.0)

    def _fault_wrong_takeover(self, replica: Replica) -> None:
        """A member is told that it owns what another still publishes."""
        for shard, owner in self.owners.items():
            if owner is not replica and replica in self._members():
                self.owners[shard] = replica
                self._tell(replica, "assign", shard)
                if owner is not None and owner.alive:
                    self.world.later(self.rng.uniform(0.0, 4.0), self._tell_lost, owner, shard)

    def _tell_lost(self, replica: Replica, shard: int) -> None:
        if replica.alive and self.owners[shard] is not replica:
            self._lose(replica, shard)

    def _lose(self, replica: Replica, shard: int) -> None:
        """It learns of the loss at once, and some time later of its new assignment, without the shard."""
        self._tell(replica, "revoke", shard, lost=True)
        self.world.later(self.rng.uniform(0.3, 5.0), replica.machine.call_soon, replica.membership.settle)

    def _fault_rebalance(self, replica: Replica) -> None:
        """The owner hands over in order."""
        for shard, owner in self.owners.items():
            if owner is not None and owner.alive and owner is not replica and not owner.machine.frozen:
                self.owners[shard] = replica

                def then(shard: int = shard) -> None:
                    if replica.alive and self.owners[shard] is replica:
                        self._tell(replica, "assign", shard)

                self._tell(owner, "revoke", shard, lost=False, then=then)

    def _fault_foreign_fence(self, replica: Replica) -> None:
        self.broker.init(TOPICS.transactional_id(0), 15.0)

    def _fault_wall(self, replica: Replica) -> None:
        self.stepped = True
        replica.machine.wall_step_us += int(self.rng.uniform(-20.0, 20.0) * 1e6)

    def _fault_retire(self, replica: Replica) -> None:
        """A series leaves the configuration, and comes back."""
        if len(self.configured) < 2 or len(self.configured) < len(self.settings.series):
            return
        gone = self.rng.choice(self.configured)
        self.retired.add(gone)
        self._configure(tuple(one for one in self.configured if one != gone))
        self.world.later(self.rng.uniform(0.2, 3.0), self._configure, self.settings.series)

    def _fault_rotate(self, replica: Replica) -> None:
        """The token changes: another session takes over from the open one."""
        if replica.follower is not None:
            rotate = replica.rotate
            replica.machine.call_soon(lambda: replica.machine.create_task(rotate()))

    def _truncate(self) -> None:
        """Somebody deletes records of offsets, the oldest or all: the next owner has to put its state together."""
        shard = self.more.choice(sorted(self.owners))
        log = self.broker.partition((TOPICS.offsets, shard))
        log.low = log.stable if self.more.random() < 0.5 else self.more.randint(log.low, log.stable)
        self.world.trace("truncated: offsets of shard %d up to %d", shard, log.low)
        self.truncated.add(shard)

    def _configure(self, series: tuple[Series, ...]) -> None:
        self.configured = series
        for replica in self.replicas:
            if replica.alive and replica.supervisor is not None:
                replica.machine.call_soon(replica.supervisor.change, series)

    # The end.

    def _heal(self) -> None:
        self.world.trace("healing")
        self.healing = True
        self.source.refusing = False
        self.source.malformed = 0.0
        self.broker.marker_delay = 0.004
        for replica in self.replicas:
            network = replica.network
            network.down = False
            network.late = network.lossy = network.wandering = 0.0
            network.latency = 0.003
            network.traps.clear()
            if replica.machine.frozen:
                self.world.later(self.rng.uniform(0.0, 3.0), replica.machine.thaw)
        if self.configured != self.settings.series:
            self._configure(self.settings.series)
        if not any(one.alive for one in self.replicas):
            self._launch("A")
        for seconds in (1.0, 4.0, 8.0):
            self.world.later(seconds, self._balance)

    def _rest(self) -> bool:
        until = self.world.now + PATIENCE
        while self.world.now < until:
            self.world.run(self.world.now + 0.5)
            if self._at_rest():
                self.world.run(self.world.now + self.source.latency + 0.1)
                if self._at_rest():
                    return True
        return False

    def _at_rest(self) -> bool:
        for owner in self.owners.values():
            if owner is None or not owner.alive or owner.machine.frozen:
                return False
        groups: dict[Any, list[int]] = {}
        for shard, owner in self.owners.items():
            groups.setdefault(owner, []).append(shard)
        return all(owner.settled(shards) for owner, shards in groups.items())

    def _stop(self) -> list[Finding]:
        running = [one for one in self.replicas if one.alive]
        for replica in running:
            replica.machine.call_soon(replica.supervisor.stop)
        self.world.run(self.world.now + 10.0)
        late = [one.machine.name for one in running if not one.ended]
        return [Finding("live", f"{name} did not end within 10 s of SIGTERM") for name in late]


FAULTS = (
    "kill",
    "kill",
    "trap",
    "trap",
    "trap",
    "freeze",
    "freeze",
    "term",
    "cut",
    "cut",
    "slow",
    "late",
    "late",
    "lossy",
    "drop",
    "drop",
    "half_open",
    "stall",
    "wrong_takeover",
    "wrong_takeover",
    "rebalance",
    "foreign_fence",
    "wall",
    "retire",
    "rotate",
)

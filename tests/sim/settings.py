"""What one seed decides before anything happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.domain.model import Series

if TYPE_CHECKING:
    import random

FRAMES = (
    (Series("chats", "missed_chats", 30, None), Series("chats", "missed_chats", 60, None)),
    (Series("chats", "active_chats", None, None),),
    (Series("agents", "agents_online", None, 5),),
    (Series("chats", "incoming_chats", None, 5),),
    (Series("chats", "missed_chats", 30, 7), Series("chats", "satisfaction_bad", 30, 7)),
)
"""Series that may share a frame."""


@dataclass(frozen=True)
class Settings:
    """Sizes, times (seconds) and probabilities of one run."""

    frames: tuple[tuple[Series, ...], ...]
    toggles: bool
    snapshots: bool
    partitions: int
    shards: int
    heartbeat: float
    min_interval: float
    max_records: int
    room: int
    probe_interval: float
    transaction_timeout: float
    interval: float
    """Mean time between two changes of one frame."""
    faults_until: float
    faults: int
    replicas: int
    verify: bool
    late: float
    lossy: float
    wandering: float
    malformed: float
    latency: float
    """Of the source's sessions."""
    latest: bool = True
    """Whether there is a topic of current values."""
    truncations: int = 0
    """How often somebody deletes records of offsets."""

    @property
    def series(self) -> tuple[Series, ...]:
        """All series, in order."""
        return tuple(one for group in self.frames for one in group)


def draw(rng: random.Random, more: random.Random, *, verify: bool = True) -> Settings:
    """The settings of one seed. ``more`` decides what was added later, so that older seeds stay what they were."""
    count = rng.randint(1, 4)
    partitions = rng.randint(1, 3)
    max_records = rng.choice((1, 3, 1000, 1000))
    return Settings(
        frames=tuple(sorted(rng.sample(FRAMES, count), key=FRAMES.index)),
        toggles=rng.random() < 0.5,
        snapshots=rng.random() < 0.8,
        partitions=partitions,
        shards=2 if partitions > 1 and rng.random() < 0.2 else 1,
        heartbeat=rng.choice((1.0, 1.0, 2.0)),
        min_interval=rng.choice((0.0, 0.05, 0.2, 0.5) if max_records > 3 else (0.0, 0.05)),
        max_records=max_records,
        room=rng.choice((8, 1000, 1000)),
        probe_interval=rng.choice((0.5, 1.0, 3.0)),
        transaction_timeout=rng.choice((3.0, 6.0, 15.0)),
        interval=rng.choice((0.1, 0.4, 1.5)),
        faults_until=rng.uniform(5.0, 12.0),
        faults=rng.randint(1, 6),
        replicas=rng.choice((1, 1, 2)),
        verify=verify,
        late=rng.choice((0.0, 0.0, 0.01, 0.06)),
        lossy=rng.choice((0.0, 0.0, 0.01, 0.05)),
        wandering=rng.choice((0.0, 0.0, 0.02)),
        malformed=rng.choice((0.0, 0.0, 0.05)),
        latency=rng.choice((0.001, 0.02, 0.3)),
        latest=more.random() < 0.8,
        truncations=more.choice((0, 0, 0, 0, 1, 2)),
    )

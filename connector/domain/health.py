"""The state of a replica in one word and one sentence, and which promise holds right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from connector.domain.status import Status

OK: Final = "ok"
DEGRADED: Final = "degraded"
DOWN: Final = "down"
STANDBY: Final = "standby"

DOWN_AFTER_US: Final = 30_000_000
"""Trouble that lasts so long is no hiccup."""

STRICT: Final = "strict"
PROMISE: Final = "Nothing is published twice, and every update is in the topic or inside a declared gap."
WEAKER: Final = {
    "best-effort": "As strict while the cluster loses nothing: settings that would break the promise are accepted.",
    "demo": "None: this is the demo with its embedded broker.",
}


class Health(NamedTuple):
    """``level`` is ok, degraded, down or standby; ``message`` is one sentence for people."""

    level: str
    message: str


def health(status: Status, now_us: int, *, heartbeat_us: int) -> Health:
    """How it stands. ``heartbeat_us``: distance of two heartbeats."""
    for shard, failure in status.failing.items():
        text = f"Kafka confirms no transaction of shard {shard}; updates wait. {failure.message}"
        return Health(_level(now_us - failure.since_us), text)
    if not status.shards:
        return Health(STANDBY, "This replica owns no shard; it publishes nothing and is ready to take over.")
    late = _late(status, now_us, heartbeat_us)
    if late is not None:
        return late
    if status.link is None:
        trouble = status.unlinked
        assert trouble is not None
        text = f"No session with the source; what it sends now is missed. {trouble.message}"
        return Health(_level(now_us - trouble.since_us), text)
    if status.incidents.open_now:
        return Health(DEGRADED, f"{status.incidents.open_now} series have an open gap and wait for their next value.")
    return Health(OK, "Every update is being published.")


def _late(status: Status, now_us: int, heartbeat_us: int) -> Health | None:
    for shard in status.shards.values():
        silent_us = shard.silent_us(now_us)
        if silent_us > 5 * heartbeat_us + 2_000_000:
            text = f"Shard {shard.number} has committed no heartbeat for {silent_us / 1e6:.0f} s."
            return Health(_level(silent_us), text)
    return None


def _level(lasting_us: int) -> str:
    return DOWN if lasting_us > DOWN_AFTER_US else DEGRADED


def promise(guarantee: str, level: str) -> tuple[bool, str]:
    """Whether the full promise holds right now, and in words which one does. ``level``: of `health`."""
    if guarantee != STRICT:
        return False, WEAKER[guarantee]
    if level == STANDBY:
        return True, f"{PROMISE} The owner of each shard keeps it."
    if level != OK:
        return True, f"{PROMISE} What is missed now will be declared as a gap; what waits is published once."
    return True, PROMISE

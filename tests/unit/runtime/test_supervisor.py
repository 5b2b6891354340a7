"""An orderly end, whatever was going on when it was asked for."""

from __future__ import annotations

import asyncio

import pytest

from connector.errors import SinkFenced
from connector.runtime.supervisor import Supervisor


class Pipeline:
    followed = configured = ()

    def configure(self, series):
        pass

    def series_of(self, shard):
        return ()

    def attach(self, publisher):
        pass

    detach = handle = attach


class Follower:
    async def run(self):
        await asyncio.Event().wait()

    def subscribe(self, series, *, anew=False):
        pass

    unsubscribe = subscribe


class Group:
    def __init__(self):
        self.owned = frozenset({0})
        self.lost = frozenset()
        self.changed = asyncio.Event()
        self.error = None
        self.joined = True
        self.left = False

    def start(self):
        self.changed.set()

    def released(self):
        pass

    async def close(self):
        self.left = True


class Publisher:
    """Takes its time to commit what waits; or is fenced when it tries."""

    def __init__(self, group, *, fenced):
        self.shard = 0
        self.paused = self.stopping = self.drained = False
        self.group = group
        self.fenced = fenced
        self.draining = asyncio.Event()

    async def acquire(self, series):
        pass

    async def run(self):
        await self.draining.wait()
        await asyncio.sleep(0.05)
        if self.fenced:
            raise SinkFenced("another one")
        self.drained = not self.group.left

    def drain(self):
        self.stopping = True
        self.draining.set()

    async def shut(self):
        pass


@pytest.mark.parametrize("revoked", [False, True], ids=["owner", "being revoked"])
@pytest.mark.parametrize("fenced", [False, True])
def test_a_shard_is_handed_over_before_the_group_is_left(revoked, fenced):
    async def main():
        group = Group()
        publisher = Publisher(group, fenced=fenced)
        supervisor = Supervisor(
            (), pipeline=Pipeline(), ownership=group, make_publisher=lambda shard: publisher, follower=Follower(),
            resolve=None, refresh=None, timeout=10,
        )  # fmt: skip
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(0.01)
        if revoked:
            group.owned = frozenset()
            group.changed.set()
            await publisher.draining.wait()
        supervisor.stop()
        await asyncio.wait_for(running, 2)
        return publisher.drained, group.left

    assert asyncio.run(main()) == (not fenced, True)

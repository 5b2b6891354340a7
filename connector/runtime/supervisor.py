"""Keeps the connector going: ownership, sessions, departments, and an orderly end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from connector.domain.events import Refused, Yielded
from connector.domain.model import by_name
from connector.errors import SinkFenced, SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from connector.domain.model import Series
    from connector.runtime.follower import Follower
    from connector.runtime.pipeline import Pipeline
    from connector.runtime.publisher import Publisher

FENCED_PAUSE = 15.0
"""Seconds before a fenced replica that still owns the shard by the group's word takes it over again."""


class Ownership(Protocol):
    """Which shards are ours; `adapters.group.Group` is the real one."""

    owned: frozenset[int]
    lost: frozenset[int]
    """Taken away without asking; until the next assignment nobody knows whose they are."""
    changed: asyncio.Event
    error: Exception | None
    joined: bool

    def start(self) -> None:
        """Join."""

    def released(self) -> None:
        """What was revoked is handed over."""

    async def close(self) -> None:
        """Leave."""


class Supervisor:
    """Runs until `stop`, or until an error that a person has to mend.

    Args:
        series: what is configured at first.
        resolve: the configured series, departments looked up anew.
        refresh: seconds between two look-ups of departments; None if the configuration needs none.
        timeout: seconds that an orderly end may take.
    """

    def __init__(
        self,
        series: tuple[Series, ...],
        *,
        pipeline: Pipeline,
        ownership: Ownership,
        make_publisher: Callable[[int], Publisher],
        follower: Follower,
        resolve: Callable[[], Awaitable[tuple[Series, ...]]],
        refresh: float | None,
        timeout: float,
    ) -> None:
        self._pipeline = pipeline
        self._pipeline.configure(series)
        self._ownership = ownership
        self._make_publisher = make_publisher
        self._follower = follower
        self._resolve = resolve
        self._refresh = refresh
        self._timeout = timeout
        self._publishing: dict[int, tuple[asyncio.Task[None], list[Publisher]]] = {}
        self._stop = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def ready(self) -> bool:
        """True if this replica has joined and could take over."""
        return self._ownership.joined and not self._stop.is_set()

    def stop(self) -> None:
        """End in order: commit what waits, leave the group."""
        self._stop.set()

    async def run(self) -> None:
        """Until `stop`.

        Raises:
            ConnectorError: that a person has to mend.
        """
        tasks: list[asyncio.Task[None]] = []
        try:
            self._ownership.start()
            steps = [self._own(), self._follower.run(), self._discover(), self._until_stopped()]
            tasks = [asyncio.create_task(step) for step in steps]
            done, _ = await asyncio.wait([*tasks, self._failed], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await self._end(tasks)

    async def _until_stopped(self) -> None:
        await self._stop.wait()

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Stop the session, commit what it brought, then leave the group."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._release(shard) for shard in list(self._publishing)))
        await self._ownership.close()

    # Shards.

    async def _own(self) -> None:
        while True:
            await self._ownership.changed.wait()
            self._ownership.changed.clear()
            if self._ownership.error is not None:
                raise self._ownership.error
            owned = self._ownership.owned
            for shard in self._publishing.keys() - owned:
                await self._yield(shard)
            self._ownership.released()
            for shard in self._publishing.keys() & owned:
                for publisher in self._publishing[shard][1]:
                    publisher.resume()
            for shard in owned - self._publishing.keys():
                publishers: list[Publisher] = []
                task = asyncio.create_task(self._publish(shard, publishers), name=f"shard-{shard}")
                task.add_done_callback(self._ended)
                self._publishing[shard] = task, publishers

    async def _yield(self, shard: int) -> None:
        """Hand the shard over; if it was lost, keep what waits until the group says who owns it now."""
        publishers = self._publishing[shard][1]
        if shard not in self._ownership.lost or not publishers:
            await self._release(shard)
            self._pipeline.handle(Yielded(shard, "revoked by the group", _wall_us()))
        elif not publishers[-1].paused:
            publishers[-1].pause()
            self._pipeline.handle(Yielded(shard, "the group's session was lost; what is received waits", _wall_us()))

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _release(self, shard: int) -> None:
        task, publishers = self._publishing[shard]
        if not publishers or publishers[-1].paused:
            task.cancel()
        else:
            publishers[-1].drain()
        _, pending = await asyncio.wait([task], timeout=self._timeout * 0.7)
        if pending:
            task.cancel()
            await asyncio.wait(pending, timeout=1.0)
        # Not before: whoever is cancelled here leaves the shard to the one who ends everything.
        del self._publishing[shard]

    async def _publish(self, shard: int, publishers: list[Publisher]) -> None:
        """Own the shard until it is drained or taken away."""
        while True:
            publisher = self._make_publisher(shard)
            publisher.announced = self._announced
            try:
                await publisher.acquire(self._pipeline.series_of(shard))
                publishers.append(publisher)
                self._pipeline.attach(publisher)
                await publisher.run()
            except SinkFenced as error:
                self._pipeline.handle(Yielded(shard, str(error), _wall_us()))
            else:
                return
            finally:
                self._detach(publisher)
                await publisher.shut()
            if publisher.stopping:
                return
            if publisher.paused:
                # Somebody followed; whether the shard is ours again, the group tells.
                await publisher.resumed()
                publishers.clear()
            else:
                publishers.clear()
                await asyncio.sleep(FENCED_PAUSE)

    def _detach(self, publisher: Publisher) -> None:
        self._pipeline.detach(publisher)
        self._follower.unsubscribe(self._pipeline.series_of(publisher.shard))

    def _announced(self, claim: bool) -> None:  # noqa: FBT001 - the one thing that is told
        """The log has got the first rows of some series, or says that a shard is ours: now the session may ask."""
        self.change(self._pipeline.configured, anew=claim)

    # Departments.

    async def _discover(self) -> None:
        """Follow new departments, retire vanished ones."""
        if self._refresh is None:
            await asyncio.Event().wait()
            return
        while True:
            await asyncio.sleep(self._refresh)
            try:
                self.change(await self._resolve())
            except SourceUnavailable as error:
                self._pipeline.handle(Refused(error.reason, f"departments: {error}", self._refresh, _wall_us()))

    def change(self, series: tuple[Series, ...], *, anew: bool = False) -> None:
        """Another set of series is configured: apply the difference on the open session.

        ``anew``: what is followed from now on needs snapshots, whatever the session asked for before.
        """
        before = set(self._pipeline.followed)
        self._pipeline.configure(series)
        after = set(self._pipeline.followed)
        self._follower.unsubscribe(sorted(before - after, key=by_name))
        self._follower.subscribe(sorted(after - before, key=by_name), anew=anew)


def _wall_us() -> int:
    return time.time_ns() // 1000

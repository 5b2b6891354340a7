"""Server-sent events: a report at first, then what changed, once a second at most, whatever the load."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from aiohttp import web

from connector.web import model, view

if TYPE_CHECKING:
    from connector.domain.status import Status
    from connector.web.around import Surroundings
    from connector.web.view import Identity

INTERVAL: Final = 1.0
"""Seconds between two events."""

READERS: Final = 32
"""Most pages that are served at the same time."""

STUCK: Final = 30.0
"""Seconds after which a reader that takes nothing is let go."""


class Known(NamedTuple):
    """What a reader has seen: the version of the values, and which series there are under which names."""

    version: int
    layout: tuple[int, int]


NOTHING: Final = Known(-1, (-1, 0))


class Live:
    """Renders the status for its readers; readers in step share the bytes."""

    def __init__(self, status: Status, identity: Identity, surroundings: Surroundings) -> None:
        self._status = status
        self._identity = identity
        self._surroundings = surroundings
        self._encode = msgspec.json.Encoder().encode
        self._rendered: dict[tuple[Known, int], tuple[bytes, Known]] = {}
        self._tick = -1
        self._readers = 0
        self._closing = asyncio.Event()

    def report(self) -> bytes:
        """Everything, as JSON."""
        around = self._surroundings.now()
        return self._encode(view.report(self._status, self._identity, around, _wall_us()))

    def summary(self) -> bytes:
        """Everything but the series, as JSON."""
        around = self._surroundings.now()
        return self._encode(view.summary(self._status, self._identity, around, _wall_us()))

    def event(self, known: Known) -> tuple[bytes, Known]:
        """The next event for a reader that knows so much, and what it knows then."""
        tick = int(time.monotonic() / INTERVAL)
        if tick != self._tick:
            self._tick = tick
            self._rendered.clear()
        key = known, self._status.version
        found = self._rendered.get(key)
        if found is None:
            found = self._rendered[key] = self._render(known)
        return found

    def close(self) -> None:
        """Let every reader go."""
        self._closing.set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer one reader until it goes, is stuck, or the server ends."""
        if self._readers >= READERS:
            raise web.HTTPServiceUnavailable(text="too many open status pages\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        self._readers += 1
        try:
            await self._feed(response)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._readers -= 1
        return response

    async def _feed(self, response: web.StreamResponse) -> None:
        known = NOTHING
        while not self._closing.is_set():
            event, known = self.event(known)
            async with asyncio.timeout(STUCK):
                await response.write(event)
            await self._until_next()

    async def _until_next(self) -> None:
        """All readers wake together."""
        try:
            async with asyncio.timeout(INTERVAL - time.monotonic() % INTERVAL):
                await self._closing.wait()
        except TimeoutError:
            return

    def _render(self, known: Known) -> tuple[bytes, Known]:
        status, now_us = self._status, _wall_us()
        around = self._surroundings.now()
        now = Known(status.version, (status.layout, hash(tuple(around.departments.items()))))
        if now.layout != known.layout:
            name, shown = b"report", self._encode(view.report(status, self._identity, around, now_us))
        else:
            summary = view.summary(status, self._identity, around, now_us)
            name, shown = b"delta", self._encode(model.Delta(summary, view.changes(status, known.version)))
        return b"event: " + name + b"\ndata: " + shown + b"\n\n", now


def _wall_us() -> int:
    return time.time_ns() // 1000

"""The source: series whose values change, sessions that break in every way, and a journal of all of it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from websockets.exceptions import ConnectionClosedError

from connector.errors import SourceUnavailable

if TYPE_CHECKING:
    from connector.domain.model import Series

    from .world import Machine, World

AUTHENTICATED = b'{"status_code":200,"message":{"authenticated":true}}'


class Sent(NamedTuple):
    """One value in one frame: which change of the series it is, and when it arrives if it does."""

    index: int
    snapshot: bool
    at: float
    due: float
    malformed: bool


class Line:
    """The changes of one series. ``instants``: when each was sent, seconds."""

    def __init__(self, series: Series, *, toggles: bool) -> None:
        self.series = series
        self.instants: list[float] = []
        self.due: list[float] = []
        """When each arrived, or would have, at the last session that it was sent on."""
        self._toggles = toggles

    def value(self, index: int) -> int:
        """The value of a change: its number, or one of 0 and 1 in turn."""
        return index % 2 if self._toggles else index


class Source:
    """What every session is fed from. ``snapshots``: a new subscription is answered with the present value."""

    def __init__(self, world: World, series: tuple[Series, ...], *, toggles: bool, snapshots: bool) -> None:
        self.world = world
        self.lines = {one: Line(one, toggles=toggles) for one in series}
        self.by_request = {(f"{s.family}.{s.metric}", s.window, s.department_id): s for s in series}
        self.snapshots = snapshots
        self.sockets: list[Socket] = []
        self.journal: dict[tuple[str, int, str], Sent] = {}
        self.owners: dict[str, str] = {}
        """Whose session it is."""
        self.refusing = False
        self.malformed = 0.0
        self.latency = 0.002
        self.late_authentication = False

    def change(self, group: list[Series]) -> None:
        """These series, which share a frame, have new values now."""
        for one in group:
            line = self.lines[one]
            line.instants.append(self.world.now)
            line.due.append(self.world.now)
        for socket in self.sockets:
            heard = [one for one in group if one in socket.subscribed]
            if heard:
                socket.send_values(heard, snapshot=False)

    def drop(self, socket: Socket, *, flush: bool) -> None:
        """The connection breaks; what is on its way arrives first, or is lost."""
        socket.cut(flush=flush)

    async def connect(self, machine: Machine, session_id: str) -> Socket:
        """A handshake."""
        await asyncio.sleep(self.world.rng.random() * self.latency)
        if self.refusing:
            await asyncio.sleep(self.world.rng.random())
            raise SourceUnavailable("source: refused")
        socket = Socket(self, machine, session_id)
        self.sockets.append(socket)
        self.owners[session_id] = machine.name.split(".")[0]
        machine.ends.append(socket.vanish)
        return socket


class Socket:
    """One session, both ends: the source's side sends, the client's side is what `run_session` uses."""

    def __init__(self, source: Source, machine: Machine, session_id: str) -> None:
        self.source = source
        self.world = source.world
        self.machine = machine
        self.session_id = session_id
        self.subscribed: dict[Series, None] = {}
        self.frames = 0
        self.half_open = False
        self.stalled_until = 0.0
        self._alive = True
        self._heard: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._pongs: dict[asyncio.Future[float], float] = {}
        self._ended: str | None = None
        self._last = 0.0
        self._last_up = 0.0
        self.world.later(5.0, self._keepalive)
        if not source.late_authentication:
            self._send(AUTHENTICATED)

    # The source's side.

    def arrival(self) -> float:
        """When something sent now arrives: the order is kept."""
        at = self.world.now + self.world.rng.random() * self.source.latency
        self._last = max(self._last, at, self.stalled_until)
        return self._last

    def send_values(self, series: list[Series], *, snapshot: bool) -> None:
        """One frame with the newest values of series that share topic and department."""
        due = self.arrival()
        frame, broken = self._frame(series)
        self.frames += 1
        for one in series:
            line = self.source.lines[one]
            index = len(line.instants) - 1
            sent = Sent(index, snapshot, self.world.now, due, broken)
            self.source.journal[self.session_id, self.frames, one.name] = sent
            line.due[index] = max(line.due[index], due)
        if self.world.lines is not None:
            self.world.trace("source -> %s %d: %s", self.session_id, self.frames, frame.decode())
        self._put(due, frame)

    def _frame(self, series: list[Series]) -> tuple[bytes, bool]:
        rng = self.world.rng
        data: dict[str, Any] = {}
        for one in series:
            line = self.source.lines[one]
            value = line.value(len(line.instants) - 1)
            if one.window is None:
                data[one.metric] = value
            else:
                data.setdefault(one.metric, {})[str(one.window)] = value
        broken = self.source.malformed > 0 and rng.random() < self.source.malformed
        if broken and rng.random() < 0.3:
            return b'{"status_code":200,"cont', True
        if broken:
            data = json.loads(json.dumps(data), parse_int=str)
        content = {"topic": series[0].family, "data": data, "type": "update", "department_id": series[0].department_id}
        return json.dumps({"status_code": 200, "content": content}, separators=(",", ":")).encode(), broken

    def _send(self, frame: bytes) -> None:
        self.frames += 1
        self._put(self.arrival(), frame)

    def _put(self, due: float, frame: bytes) -> None:
        if not self.half_open:
            self.world.at(due, None, self._arrive, (frame,))

    def _arrive(self, frame: bytes) -> None:
        if self._alive and not self.half_open:
            self._heard.append(frame)
            self._wake()

    def _hear(self, message: str) -> None:
        request = json.loads(message)
        one = self.source.by_request[request["topic"], request.get("window"), request.get("department_id")]
        if not self._alive or self.half_open:
            return
        self.world.trace("%s -> source: %s", self.session_id, message)
        if request["action"] == "unsubscribe":
            self.subscribed.pop(one, None)
            return
        self.subscribed[one] = None
        if self.source.snapshots and self.source.lines[one].instants:
            self.send_values([one], snapshot=True)

    def cut(self, *, flush: bool) -> None:
        """The connection breaks. Without ``flush`` what is on its way is lost."""
        self.world.trace("source: %s cut", self.session_id)
        self._forget()
        if not flush:
            self._alive = False
        self.world.at(max(self._last, self.world.now) if flush else self.world.now, None, self._end, ("cut",))

    def vanish(self) -> None:
        """The client's process died."""
        self._alive = False
        self._forget()

    def _forget(self) -> None:
        if self in self.source.sockets:
            self.source.sockets.remove(self)

    def _end(self, why: str) -> None:
        self._alive = False
        if self._ended is None:
            self._ended = why
            self._wake()
            for waiter in self._pongs:
                if not waiter.done():
                    waiter.set_exception(ConnectionClosedError(None, None))
                    waiter.exception()

    def _keepalive(self) -> None:
        """The library's own ping, every five seconds, finds a dead peer in five more."""
        if self.half_open and self._ended is None:
            self._end("keepalive")
        elif self._ended is None and not self.machine.dead:
            self.world.later(5.0, self._keepalive)

    # The client's side.

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def recv(self, *, decode: bool) -> bytes:
        while not self._heard:
            if self._ended is not None:
                raise ConnectionClosedError(None, None)
            self._reader = self.machine.create_future()
            await self._reader
        return self._heard.popleft()

    async def send(self, message: str) -> None:
        if self._ended is not None:
            raise ConnectionClosedError(None, None)
        self.world.at(self._arrival_up(), None, self._hear, (message,))

    def _arrival_up(self) -> float:
        self._last_up = max(self._last_up, self.world.now + self.world.rng.random() * self.source.latency)
        return self._last_up

    async def ping(self) -> asyncio.Future[float]:
        if self._ended is not None:
            raise ConnectionClosedError(None, None)
        waiter = self.machine.create_future()
        self._pongs[waiter] = self.world.now
        self.world.at(self._arrival_up(), None, self._answer_ping, (waiter,))
        return waiter

    def _answer_ping(self, waiter: asyncio.Future[float]) -> None:
        if self._alive and not self.half_open:
            self.world.at(self.arrival(), None, self._pong, (waiter,))

    def _pong(self, waiter: asyncio.Future[float]) -> None:
        sent = self._pongs.pop(waiter, None)
        if sent is not None and self._alive and not self.half_open and not waiter.done():
            waiter.set_result(self.world.now - sent)

    async def close(self) -> None:
        self._forget()
        self._end("closed")

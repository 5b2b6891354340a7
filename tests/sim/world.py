"""Virtual time: one queue of everything that will happen, and machines whose processes live on it."""

from __future__ import annotations

import asyncio
import heapq
import random
from asyncio import events
from collections import deque
from functools import partial
from typing import Any

from greenlet import getcurrent, greenlet

START_US = 1_767_225_600_000_000
"""Wall clock of the instant 0."""


class Killed(BaseException):
    """The process was killed while a thread of it was waiting."""


class Handle:
    """One thing that will happen, unless it is cancelled."""

    __slots__ = ("_when", "args", "callback", "gone", "machine")

    def __init__(self, machine, callback, args, when):
        self.machine = machine
        self.callback = callback
        self.args = args
        self._when = when
        self.gone = False

    def cancel(self):
        self.gone = True

    def cancelled(self):
        return self.gone

    def when(self):
        return self._when


class World:
    """Time, chance and the order of everything. Times in seconds since the start."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self.lines: list[str] | None = [] if trace else None
        self.steps = 0
        self._heap: list[tuple[float, int, Handle]] = []
        self._ready: deque[Handle] = deque()
        self._count = 0
        self.names = 0

    def trace(self, text: str, *args: Any) -> None:
        """One line of the history."""
        if self.lines is not None:
            self.lines.append(f"{self.now:10.4f} {text % args if args else text}")

    def soon(self, machine, callback, args):
        handle = Handle(machine, callback, args, self.now)
        self._ready.append(handle)
        return handle

    def at(self, when, machine, callback, args):
        handle = Handle(machine, callback, args, when)
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, handle))
        return handle

    def later(self, seconds: float, callback, *args) -> Handle:
        """Something outside of every process."""
        return self.at(self.now + seconds, None, callback, args)

    def unique(self, prefix: str) -> str:
        """A name that nothing else has."""
        self.names += 1
        return f"{prefix}{self.names}"

    def run(self, until: float) -> None:
        """Let things happen up to an instant."""
        heap = self._heap
        while True:
            if self._ready:
                handle = self._ready.popleft()
            elif heap and heap[0][0] <= until:
                when, _, handle = heapq.heappop(heap)
                if handle.gone:
                    continue
                self.now = max(self.now, when)
            else:
                self.now = until
                return
            self._step(handle)

    def _step(self, handle: Handle) -> None:
        if handle.gone:
            return
        machine = handle.machine
        if machine is None:
            handle.callback(*handle.args)
            return
        if machine.frozen:
            machine.backlog.append(handle)
            return
        if machine.dead:
            return
        self.steps += 1
        events._set_running_loop(machine)
        try:
            handle.callback(*handle.args)
        finally:
            events._set_running_loop(None)


class Machine(asyncio.AbstractEventLoop):
    """One process: its event loop, its clocks, its threads. It can be frozen and killed."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.frozen = False
        self.dead = False
        self.backlog: list[Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.threads: list[Thread] = []
        self.wall_step_us = 0
        self.ends: list[Any] = []
        """Called when the process dies: its sockets close."""

    # What asyncio asks of a loop.

    def time(self):
        return self.world.now

    def get_debug(self):
        return False

    def is_running(self):
        return True

    def is_closed(self):
        return False

    def call_soon(self, callback, *args, context=None):
        return self.world.soon(self, callback, args)

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):
        return self.world.at(self.world.now + delay, self, callback, args)

    def call_at(self, when, callback, *args, context=None):
        return self.world.at(max(when, self.world.now), self, callback, args)

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None):
        task = asyncio.Task(coro, loop=self, name=name)
        self.tasks.append(task)
        return task

    def call_exception_handler(self, context):
        self.world.trace("%s: %s", self.name, context.get("message"))

    def run_in_executor(self, executor, func, *args):
        future = self.create_future()
        if self.dead:
            future.cancel()
        else:
            executor.submit(future, func, args)
        return future

    # Clocks.

    def monotonic(self):
        return self.world.now

    def wall_us(self):
        return START_US + round(self.world.now * 1e6) + self.wall_step_us

    # Faults.

    def freeze(self):
        self.frozen = True

    def thaw(self):
        self.frozen = False
        backlog, self.backlog = self.backlog, []
        for handle in backlog:
            self.world._ready.append(handle)

    def kill(self):
        """Nothing of this process runs any more; what it sent stays on its way."""
        if self.dead:
            return
        self.world.trace("%s: killed", self.name)
        self.dead = True
        self.frozen = False
        for thread in self.threads:
            thread.stop()
        for end in self.ends:
            end()
        self._unwind()

    def _unwind(self):
        """Close the coroutines of the dead: none of it has an effect, but Python wants them ended."""
        world = self.world
        others = [handle for handle in world._ready if handle.machine is not self]
        mine = [handle for handle in world._ready if handle.machine is self]
        world._ready = deque(self.backlog + mine)
        self.backlog = []
        events._set_running_loop(self)
        for _ in range(50):
            while world._ready:
                handle = world._ready.popleft()
                if handle.machine is not self:
                    others.append(handle)
                elif not handle.gone:
                    handle.callback(*handle.args)
            tasks = [task for task in self.tasks if not task.done()]
            if not tasks:
                break
            for task in tasks:
                task.cancel()
        events._set_running_loop(None)
        world._ready = deque(others)


class Thread:
    """The executor of one sink: one job after another, each on a stack of its own; all else stands still meanwhile."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.world = machine.world
        self._jobs: deque[tuple[Any, Any, Any]] = deque()
        self._busy = False
        self._turn: greenlet | None = None
        """The job that runs, or stands somewhere inside of `wait`."""
        self._waiting: object | None = None
        self._killed = False
        machine.threads.append(self)

    def submit(self, future, func, args):
        self._jobs.append((future, func, args))
        if not self._busy:
            self._busy = True
            self.machine.call_soon(self._next)

    def shutdown(self, *, wait=True):
        """Nothing to let go."""

    def stop(self):
        self._killed = True
        self._jobs.clear()
        if self._waiting is not None:
            self._enter()

    # On the world's side.

    def _next(self):
        while self._jobs:
            future, func, args = self._jobs.popleft()
            if future.cancelled():
                continue
            self._turn = greenlet(partial(_work, future, func, args))
            self._enter()
            return
        self._busy = False

    def _enter(self):
        self._waiting = None
        turn = self._turn
        turn.parent = getcurrent()
        loop = events._get_running_loop()
        events._set_running_loop(None)
        outcome = turn.switch()
        events._set_running_loop(loop)
        if turn.dead and not self._killed:
            self._done(*outcome)

    def _done(self, future, result, error):
        if not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
        self.machine.call_soon(self._next)

    def _resume(self, token):
        if self._waiting is token and not self._killed:
            self._enter()

    def wake(self):
        """What the thread waits for may have come."""
        if self._waiting is not None:
            self.machine.call_soon(self._resume, self._waiting)

    # On the thread's side.

    def wait(self, seconds: float) -> None:
        """Give way until `wake` or for so long.

        Raises:
            Killed
        """
        if self._killed:
            raise Killed
        self._waiting = token = object()
        timer = self.machine.call_later(seconds, self._resume, token)
        self._turn.parent.switch()
        timer.cancel()
        if self._killed:
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Block for the whole time."""
        until = self.world.now + seconds
        while self.world.now < until:
            self.wait(until - self.world.now)


def _work(future, func, args):
    """One job: the future, what it returned and what it raised."""
    try:
        return future, func(*args), None
    except Killed:
        return future, None, None
    except BaseException as caught:  # noqa: BLE001 - handed to the future
        return future, None, caught

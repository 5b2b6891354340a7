"""One session after the other, as long as there is something to follow."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Protocol

from connector.domain.events import Refused
from connector.errors import ConfigError, ConnectorError, SourceRejected, SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from connector.domain.events import Event
    from connector.domain.model import Series
    from connector.protocol.session import Session
    from connector.runtime.backoff import Backoff
    from connector.runtime.budget import Budget
    from connector.runtime.pipeline import Pipeline

LASTING = 30.0
"""Seconds after which a session counts as a success: the next failure waits little again."""


class Connect(Protocol):
    """Opens one session and reads it to its end; `adapters.websocket.run_session` does it."""

    def __call__(
        self,
        session_id: str,
        emit: Callable[[Event], None],
        opened: Callable[[Session, asyncio.Event], None],
        take_over: Callable[[], Awaitable[None]],
    ) -> Coroutine[None, None, ConnectorError]:
        """``take_over`` is awaited once the source accepted the token, before anything is emitted."""


class Follower:
    """Keeps a session open while the pipeline has series to follow.

    Args:
        auth_backoff: seconds to wait at least after a refused token.
    """

    def __init__(
        self, pipeline: Pipeline, connect: Connect, *, budget: Budget, backoff: Backoff, auth_backoff: float
    ) -> None:
        self._pipeline = pipeline
        self._connect = connect
        self._budget = budget
        self._backoff = backoff
        self._auth_backoff = auth_backoff
        self._wanted = asyncio.Event()
        self._ever_opened = False
        self._session: Session | None = None
        self._changed = asyncio.Event()
        self._left: set[Series] = set()
        """Unsubscribed on the open session: older values of them may still be on their way."""
        self._holder: asyncio.Task[ConnectorError] | None = None
        """The task whose session is the open one."""
        self._current: asyncio.Task[ConnectorError] | None = None
        """The task that `run` waits for: its session may be open, or not yet."""
        self._successor: asyncio.Task[ConnectorError] | None = None

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            ConfigError, SourceRejected: before any session was ever open.
        """
        while True:
            if self._successor is None:
                await self._wanted.wait()
            if self._successor is None:
                await self._budget.acquire()
            task, self._successor = self._successor or self._open(self._nothing), None
            self._current = task
            began = time.monotonic()
            error = await self._outcome(task)
            if self._holder is task:
                self._session = self._holder = None
            if error is None or self._successor is not None:
                continue
            if time.monotonic() - began > LASTING:
                self._backoff.reset()
            await self._pause(error)

    def subscribe(self, series: Sequence[Series], *, anew: bool = False) -> None:
        """More to follow.

        What the open session unsubscribed before may still have older values on their way: it takes a new session.
        ``anew``: so does what it asked for before, since only a new session brings snapshots.
        """
        if self._pipeline.followed:
            self._wanted.set()
        if self._session is None or not series:
            return
        known = self._left.union(self._session.subscribed) if anew else self._left - self._session.held
        if known.isdisjoint(series):
            self._pipeline.subscribe(series)
            self._session.subscribe(series)
            self._changed.set()
        elif self._holder is not None:
            self._holder.cancel("only a new session brings the values of what is subscribed again")

    def unsubscribe(self, series: Sequence[Series]) -> None:
        """Less to follow."""
        if self._session is not None and series:
            self._session.unsubscribe(series)
            self._left.update(series)
            self._changed.set()
        if not self._pipeline.followed:
            self._wanted.clear()

    async def rotate(self) -> None:
        """Open a session with the new token before the old one ends: one short gap per series.

        Raises:
            SourceUnavailable, SourceRejected, ConfigError: the old session goes on.
        """
        if self._session is None:
            return
        await self._budget.acquire()
        taken_over = asyncio.Event()

        async def take_over() -> None:
            self._successor = successor
            both = dict.fromkeys((self._current, self._holder))
            older = [task for task in both if task is not None and not task.done()]
            for task in older:
                task.cancel("a session with the new token took over")
            if older:
                await asyncio.wait(older)
            taken_over.set()

        successor = self._open(take_over)
        waiting = asyncio.create_task(taken_over.wait())
        await asyncio.wait([successor, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not taken_over.is_set():
            successor.result()

    def _open(self, take_over: Callable[[], Awaitable[None]]) -> asyncio.Task[ConnectorError]:
        return asyncio.create_task(
            self._connect(uuid.uuid4().hex, self._pipeline.handle, self._opened, take_over), name="session"
        )

    async def _nothing(self) -> None:
        """Nobody to take over from."""

    def _opened(self, session: Session, changed: asyncio.Event) -> None:
        self._ever_opened = True
        self._left.clear()
        # What is followed may have changed during the handshake; nothing was asked for yet.
        followed = self._pipeline.followed
        session.unsubscribe(session.unconfirmed.difference(followed))
        session.subscribe(followed)
        self._session = session
        self._changed = changed
        self._holder = asyncio.current_task()
        self._pipeline.opened(session)

    async def _outcome(self, task: asyncio.Task[ConnectorError]) -> ConnectorError | None:
        """The error that ended the session; None if it was ended from here, to open another."""
        try:
            return await task
        except SourceUnavailable as error:
            return error
        except (ConfigError, SourceRejected) as error:
            # At first a mistake; later a secret that is being replaced, and what runs goes on.
            if not self._ever_opened:
                raise
            return SourceUnavailable(str(error), reason="auth")
        except asyncio.CancelledError:
            if task.cancelled() and not _cancelling():
                return None
            for one in (task, self._successor):
                if one is not None:
                    one.cancel()
                    await asyncio.wait([one], timeout=2.0)
            raise

    async def _pause(self, error: ConnectorError) -> None:
        reason = getattr(error, "reason", "disconnect")
        asked = getattr(error, "retry_after", None) or 0.0
        if reason == "throttled":
            self._budget.pause(asked)
        wait = self._backoff.next(at_least=max(asked, self._auth_backoff if reason == "auth" else 0.0))
        self._pipeline.handle(Refused(reason, str(error), wait, time.time_ns() // 1000))
        await asyncio.sleep(wait)


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

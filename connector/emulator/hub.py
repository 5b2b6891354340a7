"""Who gets which update: the sessions by series, and the frames made once for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.domain.metrics import WINDOWS
from connector.domain.model import Series
from connector.emulator import frames
from connector.emulator.frames import Frame, Template
from connector.emulator.session import NOT_COMPUTED, Reply, Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.emulator.behaviour import Behaviour
    from connector.emulator.world import Change, World


class Hub:
    """Fans the world's changes out to the sessions that subscribed to them."""

    def __init__(self, world: World, behaviour: Behaviour) -> None:
        self.cold = False
        """Nothing is computed yet, or the account was inactive for long."""
        self.waiting: dict[Session, None] = {}
        """Sessions whose outbox has frames."""
        self._world = world
        self._behaviour = behaviour
        self._subscribers: dict[Series, dict[Session, int]] = {}
        self._templates: dict[Series, Template] = {}

    @property
    def listening(self) -> bool:
        """Whether anybody would get anything."""
        return bool(self._subscribers) and not self.cold

    def session(self, session_id: str, *, authenticated: bool) -> Session:
        """A new session on this account."""
        departments = self._world.departments
        return Session(
            session_id,
            self._behaviour,
            snapshot=self.snapshot,
            exists=departments.__contains__,
            authenticated=authenticated,
        )

    def receive(self, session: Session, message: str | bytes) -> Reply:
        """Hand a client's message to its session and keep track of what it is subscribed to."""
        reply = session.receive(message)
        for series in reply.added:
            self._subscribers.setdefault(series, {})[session] = session.subscriptions[series]
        for series in reply.dropped:
            self._forget(series, session)
        return reply

    def leave(self, session: Session) -> None:
        """A session is over."""
        self.waiting.pop(session, None)
        for series in session.subscriptions:
            self._forget(series, session)

    def _forget(self, series: Series, session: Session) -> None:
        subscribers = self._subscribers.get(series, {})
        subscribers.pop(session, None)
        if not subscribers:
            self._subscribers.pop(series, None)

    # Values

    def literal(self, series: Series) -> str:
        """The value that a snapshot or the REST twin shows."""
        world = self._world
        if self.cold:
            return "null"
        if series.definition.unit == "seconds" and self._behaviour.durations == "live":
            return world.current(series)
        return world.board[series]

    def snapshot(self, series: Series) -> Frame:
        """The frame that a new subscription gets."""
        if self.cold and self._behaviour.cold == "message":
            return NOT_COMPUTED
        if self._behaviour.both_windows and series.window is not None:
            return frames.combined(self._both(series))
        return self.frame(series, self.literal(series))

    def deliver(self, changes: Iterable[Change]) -> int:
        """Put the changes of one event into the outboxes; returns how many frames that makes."""
        if self.cold:
            return 0
        if self._behaviour.several_keys or self._behaviour.both_windows:
            return self._deliver_combined(dict(changes))
        sent = 0
        for series, literal in changes:
            subscribers = self._subscribers.get(series)
            if subscribers:
                sent += self._post(self.frame(series, literal), subscribers)
        return sent

    def thaw(self) -> int:
        """Everything is computed now: push every series to its subscribers."""
        self.cold = False
        board = self._world.board
        return self.deliver([(series, board[series]) for series in self._subscribers if series in board])

    def _post(self, frame: Frame, subscribers: dict[Session, int]) -> int:
        sent = 0
        for session, times in subscribers.items():
            copies = times if self._behaviour.duplicates else 1
            session.outbox += [frame] * copies
            self.waiting[session] = None
            sent += copies
        return sent

    def frame(self, series: Series, literal: str) -> Frame:
        """The update frame of one series."""
        template = self._templates.get(series)
        if template is None:
            template = self._templates[series] = Template(series)
        return template.frame(literal)

    # Several values in one frame

    def _deliver_combined(self, changes: dict[Series, str]) -> int:
        sent = 0
        for session, mine in self._by_session(changes).items():
            for group in self._groups(mine):
                sent += self._post(frames.combined(group), {session: self._copies(session, group)})
        return sent

    def _by_session(self, changes: dict[Series, str]) -> dict[Session, dict[Series, str]]:
        by_session: dict[Session, dict[Series, str]] = {}
        for series, literal in changes.items():
            for session in self._subscribers.get(series, ()):
                by_session.setdefault(session, {})[series] = literal
        return by_session

    def _groups(self, mine: dict[Series, str]) -> list[dict[Series, str]]:
        groups: dict[tuple[object, ...], dict[Series, str]] = {}
        for series, literal in mine.items():
            metric = None if self._behaviour.several_keys else series.metric
            group = groups.setdefault((series.family, series.department_id, metric), {})
            if self._behaviour.both_windows and series.window is not None:
                group.update(self._both(series))
            else:
                group[series] = literal
        return list(groups.values())

    def _both(self, series: Series) -> dict[Series, str]:
        variants = [Series(series.family, series.metric, window, series.department_id) for window in WINDOWS]
        return {variant: self.literal(variant) for variant in variants}

    @staticmethod
    def _copies(session: Session, group: dict[Series, str]) -> int:
        return max(session.subscriptions.get(series, 0) for series in group)

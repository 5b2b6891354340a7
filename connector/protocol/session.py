"""One connection to the source, without I/O: its states, what it hears and what it says."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from connector.domain.events import Event, Noticed, Rejected, Updated
from connector.domain.model import Series
from connector.errors import ConnectorError, SourceUnavailable
from connector.protocol.messages import decode_unusual, decode_usual
from connector.protocol.pace import Pace
from connector.protocol.subscriptions import Subscriptions
from connector.protocol.verdicts import Malformed, Notice, Route, Update, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class State(Enum):
    """Where a session is. A closed one hears and says nothing."""

    AUTHENTICATING = "authenticating"
    STREAMING = "streaming"
    CLOSED = "closed"


_STREAMING: Final = State.STREAMING
_CLOSED: Final = State.CLOSED


class Signal(Enum):
    """What moves a session from state to state."""

    AUTHENTICATED = "authenticated"
    UNAUTHORIZED = "unauthorized"
    DATA = "data"
    NOTICE = "notice"
    MALFORMED = "malformed"
    DEADLINE = "deadline"


# The authentication frame is known from recordings only, so its absence and data before it are no violations,
# and after a deadline it may come late.
TRANSITIONS: Final = {
    (State.AUTHENTICATING, Signal.AUTHENTICATED): State.STREAMING,
    (State.AUTHENTICATING, Signal.UNAUTHORIZED): State.CLOSED,
    (State.AUTHENTICATING, Signal.DATA): State.STREAMING,
    (State.AUTHENTICATING, Signal.NOTICE): State.AUTHENTICATING,
    (State.AUTHENTICATING, Signal.MALFORMED): State.AUTHENTICATING,
    (State.AUTHENTICATING, Signal.DEADLINE): State.STREAMING,
    (State.STREAMING, Signal.AUTHENTICATED): State.STREAMING,
    (State.STREAMING, Signal.UNAUTHORIZED): State.CLOSED,
    (State.STREAMING, Signal.DATA): State.STREAMING,
    (State.STREAMING, Signal.NOTICE): State.STREAMING,
    (State.STREAMING, Signal.MALFORMED): State.STREAMING,
}
"""A pair that is not here closes the session as a violation."""

UNAUTHORIZED_TEXT: Final = (
    "the source refused the token (401 in the session); check source.token_file: a Chat OAuth token is needed"
)


class Session:
    """One connection; never used again after it is closed.

    ``now`` is monotonic seconds, ``wall_us`` wall clock microseconds. ``subscribe_rate``: messages a second, of
    which a tenth of a second's worth may go at once. ``unsubscribe``: ``polite`` sends nothing while another window
    or department of the metric is wanted, ``exact`` sends at once.
    """

    def __init__(
        self,
        session_id: str,
        series: Iterable[Series],
        *,
        now: float,
        auth_timeout: float = 2.0,
        subscribe_rate: float = 200.0,
        unsubscribe: Literal["polite", "exact"] = "polite",
    ) -> None:
        self.session_id = session_id
        self.state = State.AUTHENTICATING
        self.error: ConnectorError | None = None
        """Why it is closed; None until then."""
        self.frames = 0
        """Frames heard, which is also the number of the newest one."""
        self.last_frame_us: int | None = None
        self.active: set[Series] = set()
        """Wanted series that had a value in this session."""
        self._deadline = now + auth_timeout
        self._pace = Pace(subscribe_rate, max(1.0, subscribe_rate / 10), now)
        self._subscriptions = Subscriptions(series, exact=unsubscribe == "exact")
        self._wanted = self._subscriptions.wanted

    @property
    def subscribed(self) -> frozenset[Series]:
        """Wanted series whose subscribe message was sent."""
        return frozenset(self._wanted.values()).intersection(self._subscriptions.held)

    @property
    def held(self) -> frozenset[Series]:
        """What the source sends as far as we know, wanted or not."""
        return frozenset(self._subscriptions.held)

    @property
    def unconfirmed(self) -> frozenset[Series]:
        """Wanted series without a value in this session."""
        return frozenset(self._wanted.values()) - self.active

    def receive(self, frame: bytes, *, now: float, wall_us: int) -> list[Event]:  # noqa: ARG002  no rule needs it yet
        """Hear one frame. Never raises; nothing comes of it once the session is closed."""
        state = self.state
        if state is _CLOSED:
            return []
        self.frames += 1
        self.last_frame_us = wall_us
        usual = decode_usual(frame)
        if usual is not None:
            if state is not _STREAMING:
                self._move(Signal.DATA)
            return [self._value(usual, wall_us)]
        decoded = decode_unusual(frame)
        if type(decoded) is Update:
            if state is not _STREAMING:
                self._move(Signal.DATA)
            events = [self._value(value, wall_us) for value in decoded.values]
            if decoded.malformed:
                events.append(self._reject(decoded.malformed, frame, wall_us))
            return events + self._unknown(decoded.unknown, wall_us) if decoded.unknown else events
        if type(decoded) is Malformed:
            self._move(Signal.MALFORMED)
            return [self._reject((decoded,), frame, wall_us)]
        assert type(decoded) is Notice
        self._move(_signal(decoded))
        unknown = self._unknown(decoded.unknown, wall_us)
        return [*unknown, self._notice(decoded.kind, decoded.status, decoded.text, wall_us)]

    def handle_timer(self, now: float, wall_us: int) -> list[Event]:
        """Without an authentication frame in time, go on as if it had come."""
        if self.state is not State.AUTHENTICATING or now < self._deadline:
            return []
        self._move(Signal.DEADLINE)
        return [self._notice("unauthenticated", 0, "no authentication frame in time; subscribing anyway", wall_us)]

    def messages_to_send(self, now: float) -> list[str]:
        """What may be sent now, in this order; it counts as sent."""
        messages: list[str] = []
        if self.state is not State.STREAMING:
            return messages
        while not self._subscriptions.settled and now >= self._pace.ready_at:
            group = self._subscriptions.next_messages()
            self._pace.spend(len(group), now)
            messages += group
        return messages

    def next_timer(self) -> float | None:
        """When `handle_timer` and `messages_to_send` are due again; None if nothing is."""
        if self.state is State.AUTHENTICATING:
            return self._deadline
        if self.state is State.STREAMING and not self._subscriptions.settled:
            return self._pace.ready_at
        return None

    def subscribe(self, series: Iterable[Series]) -> None:
        """Want these series, too; one that the source still sends is just listened to again."""
        self._subscriptions.add(series)

    def unsubscribe(self, series: Iterable[Series]) -> None:
        """Want these series no longer; what still comes of them is noticed as unwanted."""
        removed = tuple(series)
        self._subscriptions.remove(removed)
        self.active.difference_update(removed)

    def _move(self, signal: Signal) -> None:
        state = TRANSITIONS.get((self.state, signal))
        if state is None:
            self.error = SourceUnavailable(f"source: {signal.value} while {self.state.value} is out of order")
        elif signal is Signal.UNAUTHORIZED:
            self.error = SourceUnavailable(UNAUTHORIZED_TEXT, reason="auth")
        self.state = state or State.CLOSED

    def _value(self, value: Value, wall_us: int) -> Event:
        route, number, raw = value
        series = self._wanted.get(route)
        if series is None:
            return self._notice("unwanted", 200, Series(*route).name, wall_us)
        self.active.add(series)
        return Updated(series, number, raw, self.session_id, self.frames, wall_us)

    def _reject(self, malformed: Sequence[Malformed], frame: bytes, wall_us: int) -> Rejected:
        first = malformed[0]
        more = f" (and {len(malformed) - 1} more)" if len(malformed) > 1 else ""
        lost: dict[Route, None] = {route: None for one in malformed for route in one.lost}
        series = tuple(self._wanted[route] for route in lost if route in self._wanted)
        return Rejected(first.reason, first.message + more, frame, series, self.session_id, self.frames, wall_us)

    def _unknown(self, fields: tuple[str, ...], wall_us: int) -> list[Event]:
        return [self._notice("unknown_field", 200, ", ".join(fields)[:80], wall_us)] if fields else []

    def _notice(self, kind: str, status: int, text: str, wall_us: int) -> Noticed:
        return Noticed(kind, status, text, self.session_id, self.frames, wall_us)


def _signal(notice: Notice) -> Signal:
    if notice.status == 401:
        return Signal.UNAUTHORIZED
    return Signal.AUTHENTICATED if notice.kind == "authenticated" else Signal.NOTICE

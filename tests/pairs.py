"""The client's session and the source's, joined without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.domain.events import Event
    from connector.protocol.session import Session


class Pair:
    """A link that loses nothing and keeps the order. Time moves only by `run` and `advance`.

    ``source`` is the other end: ``open()``, ``receive(message)`` and an ``outbox`` of frames with a ``payload``.
    ``receive`` defaults to the source's own; whoever fans values out puts itself between.
    """

    def __init__(self, session: Session, source, *, now: float, receive=None) -> None:
        self.session = session
        self.source = source
        self.now = now
        self.events: list[Event] = []
        self.said: list[str] = []
        self.heard: list[bytes] = []
        self.open = True
        self._receive = receive or source.receive
        source.open()

    def exchange(self) -> None:
        """Carry everything that can be carried at this instant, in both directions."""
        moving = True
        while moving:
            moving = self._to_client() + self._to_source() > 0

    def advance(self, now: float) -> None:
        """Move to this instant, timers included."""
        self.now = now
        self.events += self.session.handle_timer(now, self._wall_us())
        self.exchange()

    def run(self, limit: int = 10_000) -> None:
        """Carry on, from timer to timer, until neither end wants anything."""
        self.exchange()
        for _ in range(limit):
            timer = self.session.next_timer()
            if timer is None:
                return
            self.advance(max(self.now, timer))
        raise AssertionError(f"still not at rest after {limit} timers")

    def _to_client(self) -> int:
        frames, self.source.outbox = self.source.outbox, []
        for frame in frames:
            self.heard.append(frame.payload)
            self.events += self.session.receive(frame.payload, now=self.now, wall_us=self._wall_us())
        return len(frames)

    def _to_source(self) -> int:
        messages = self.session.messages_to_send(self.now)
        for message in messages:
            self.said.append(message)
            if self.open and getattr(self._receive(message), "close", False):
                self.open = False
        return len(messages)

    def _wall_us(self) -> int:
        return int(self.now * 1e6)

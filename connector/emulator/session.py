"""The source's side of one connection, without I/O: what it answers, and what it is subscribed to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from connector.domain.metrics import BY_NAME, WINDOWS, Metric
from connector.domain.model import Series
from connector.emulator import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.emulator.behaviour import Behaviour
    from connector.emulator.frames import Frame

AUTHENTICATED = frames.notice("auth", 200, {"authenticated": True})
UNAUTHORISED = frames.notice("auth", 401, "Unable to verify the identity of the client")
UNSUPPORTED = frames.notice("notice", 500, "Unsupported message")
NOT_COMPUTED = frames.notice("notice", 200, "Not Computed!")


class Reply(NamedTuple):
    """What one message of the client leads to."""

    frames: tuple[Frame, ...] = ()
    added: tuple[Series, ...] = ()
    dropped: tuple[Series, ...] = ()
    close: bool = False


class Refused(Exception):
    """A message that is answered by a 500 frame, or not at all if `silent`."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent


class Session:
    """One connection as the source sees it.

    `snapshot` gives the frame with the current value of a series; `exists` knows the departments.
    """

    def __init__(
        self,
        session_id: str,
        behaviour: Behaviour,
        *,
        snapshot: Callable[[Series], Frame],
        exists: Callable[[int], bool],
        authenticated: bool = True,
    ) -> None:
        self.id = session_id
        self.authenticated = authenticated
        self.subscriptions: dict[Series, int] = {}
        """How often each series was subscribed."""
        self.outbox: list[Frame] = []
        """Frames to send, oldest first."""
        self._behaviour = behaviour
        self._snapshot = snapshot
        self._exists = exists

    def open(self) -> bool:
        """The upgrade is done: greet or refuse. False if the session is to be closed."""
        if not self.authenticated:
            self.outbox.append(UNAUTHORISED)
        elif self._behaviour.auth_frame:
            self.outbox.append(AUTHENTICATED)
        return self.authenticated

    def receive(self, message: str | bytes) -> Reply:
        """Take one message of the client; its frames go to the outbox. Never raises."""
        if not self.authenticated:
            return Reply()
        try:
            reply = self._obey(_decode(message))
        except Refused as refused:
            replies = () if refused.silent else (UNSUPPORTED,)
            reply = Reply(replies, close=bool(replies) and self._behaviour.close_on_500)
        self.outbox += reply.frames
        return reply

    def _obey(self, message: dict[str, Any]) -> Reply:
        metric = self._metric(message.get("topic"))
        match message.get("action"):
            case "subscribe":
                return self._subscribe(self._series(metric, message), message)
            case "unsubscribe":
                return self._unsubscribe(self._variants(metric, message), message)
            case _:
                raise self._refusal(self._behaviour.unknown_topic)

    # What a message means

    def _metric(self, topic: Any) -> Metric:
        metric = BY_NAME.get(topic) if isinstance(topic, str) else None
        if metric is None:
            raise self._refusal(self._behaviour.unknown_topic)
        return metric

    def _series(self, metric: Metric, message: dict[str, Any]) -> list[Series]:
        department = self._department(message.get("department_id"))
        windows = self._windows(metric, message.get("window"))
        return [Series(metric.family, metric.key, window, department) for window in windows]

    def _windows(self, metric: Metric, window: Any) -> tuple[int | None, ...]:
        if not metric.windowed:
            if window is not None and self._behaviour.extra_window == "500":
                raise Refused
            return (None,)
        if window is None and self._behaviour.missing_window == "both":
            return WINDOWS
        if window is None:
            raise Refused
        if isinstance(window, bool) or window not in WINDOWS:
            raise self._refusal(self._behaviour.unknown_window)
        return (int(window),)

    def _department(self, department_id: Any) -> int | None:
        if department_id is None:
            return None
        if type(department_id) is not int or not self._exists(department_id):
            raise self._refusal(self._behaviour.unknown_department)
        return department_id

    def _refusal(self, switch: str) -> Refused:
        return Refused(silent=switch == "ignore")

    # Subscriptions

    def _subscribe(self, wanted: list[Series], message: dict[str, Any]) -> Reply:
        replies = self._acknowledgement(message)
        if self._behaviour.snapshot:
            replies += tuple(self._snapshot(series) for series in wanted)
        for series in wanted:
            self.subscriptions[series] = self.subscriptions.get(series, 0) + 1
        return Reply(replies, added=tuple(wanted))

    def _unsubscribe(self, variants: list[Series], message: dict[str, Any]) -> Reply:
        for series in variants:
            del self.subscriptions[series]
        return Reply(self._acknowledgement(message), dropped=tuple(variants))

    def _variants(self, metric: Metric, message: dict[str, Any]) -> list[Series]:
        mine = [one for one in self.subscriptions if (one.family, one.metric) == metric[:2]]
        if self._behaviour.unsubscribe == "all":
            return mine
        if self._behaviour.unsubscribe == "global":
            return [one for one in mine if one.department_id is None]
        window, department = message.get("window"), message.get("department_id")
        return [one for one in mine if one.department_id == department and window in (None, one.window)]

    def _acknowledgement(self, message: dict[str, Any]) -> tuple[Frame, ...]:
        if not self._behaviour.ack:
            return ()
        return (frames.notice("notice", 200, {message["action"] + "d": message["topic"]}),)


def _decode(message: str | bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(message)
    except (ValueError, RecursionError):
        raise Refused from None
    if not isinstance(decoded, dict):
        raise Refused
    return decoded

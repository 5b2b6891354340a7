"""The door of the emulator: who comes in, and what the others are told. No I/O; `now` is any steady clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from connector.emulator.rest import Answer, api_error, stream_error, too_many

if TYPE_CHECKING:
    from connector.emulator.accounts import Accounts
    from connector.emulator.behaviour import Behaviour
    from connector.emulator.limits import Limits

PLACES = ("stream", "rest", "departments", "token", "all")


@dataclass
class Refusal:
    """An order to answer requests with an HTTP status for a while, or a number of times."""

    status: int
    until: float
    place: str = "stream"
    count: int | None = None
    retry_after: int | None = None
    body: str | None = None

    def applies(self, place: str, now: float) -> bool:
        """Whether a request there is refused; counts it if so."""
        if self.place not in (place, "all") or now >= self.until or self.count == 0:
            return False
        if self.count is not None:
            self.count -= 1
        return True

    def answer(self) -> Answer:
        """What the client gets."""
        if self.body is not None:
            return Answer(self.status, self.body, "text/plain", self.retry_after)
        made = stream_error(self.status, f"Refused with {self.status} on request of the control API")
        return made._replace(retry_after=self.retry_after)


class Admission(NamedTuple):
    """A request that may pass with that token (None: only to be told 401), or the answer instead."""

    token: str | None = None
    answer: Answer | None = None


class Gate:
    """Checks refusals, tokens, roles and limits, in that order."""

    def __init__(self, accounts: Accounts, limits: Limits, behaviour: Behaviour) -> None:
        self.refusals: list[Refusal] = []
        self.accounts = accounts
        self.limits = limits
        self._behaviour = behaviour

    def refused(self, place: str, now: float) -> Answer | None:
        """The answer that the control API ordered for that place, if any."""
        return next((one.answer() for one in self.refusals if one.applies(place, now)), None)

    def session(self, authorization: str, now: float) -> Admission:
        """A request to open a session. A bad token passes without one if it is told in-band."""
        refused = self.refused("stream", now)
        if refused is not None:
            return Admission(answer=refused)
        token = self.accounts.token(authorization)
        if token is None:
            return Admission() if self._behaviour.unauthorised == "frame" else Admission(answer=_unauthorised("stream"))
        excess = self.limits.admit_session(token, now)
        return Admission(token) if excess is None else Admission(answer=too_many(excess, self._behaviour))

    def request(self, place: str, authorization: str, now: float) -> Answer | None:
        """A REST request: None if it may pass."""
        token = self.accounts.token(authorization)
        refused = self.refused(place, now)
        if refused is not None or token is None:
            return refused or _unauthorised(place)
        excess = self.limits.admit_request(now)
        if excess is not None:
            return too_many(excess, self._behaviour)
        if place == "departments" and not self.accounts.may_list_departments(token):
            return api_error(403, "Forbidden", "The role of this token may not read departments")
        return None


def _unauthorised(place: str) -> Answer:
    if place == "departments":
        description = "The server could not verify that you are authorized to access the requested resource"
        return api_error(401, "Unauthorized", description)
    return stream_error(401, "Unable to verify the identity of the client")

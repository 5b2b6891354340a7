"""The source's limits: requests a minute, sessions per account and per agent.

Opening a session (authentication included) and a REST request count as one request each; messages on
an open session never count.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import NamedTuple

MINUTE = 60.0
"""Seconds."""


class Excess(NamedTuple):
    """Why a request is refused, and after how many seconds another one may pass."""

    reason: str
    retry_after: float


@dataclass(kw_only=True)
class Limits:
    """Counts requests and sessions; 0 switches a limit off. `now` is seconds of any steady clock."""

    per_minute: int = 200
    per_account: int = 1000
    per_agent: int = 10

    def __post_init__(self) -> None:
        self.sessions: Counter[str] = Counter()
        """Open sessions by agent."""
        self.refused = 0
        self._requests: deque[float] = deque()

    def requests(self, now: float) -> int:
        """Requests admitted in the last minute."""
        while self._requests and self._requests[0] <= now - MINUTE:
            self._requests.popleft()
        return len(self._requests)

    def admit_request(self, now: float) -> Excess | None:
        """Count a request, or say why it is too many; refused ones do not count."""
        if self.per_minute and self.requests(now) >= self.per_minute:
            self.refused += 1
            reason = f"Number of allowed API requests per minute exceeded ({self.per_minute})"
            return Excess(reason, self._requests[0] + MINUTE - now)
        self._requests.append(now)
        return None

    def admit_session(self, agent: str, now: float) -> Excess | None:
        """Count a session of that agent as open, or say why it is one too many."""
        excess = self._excess_sessions(agent)
        if excess is not None:
            self.refused += 1
            return excess
        excess = self.admit_request(now)
        if excess is None:
            self.sessions[agent] += 1
        return excess

    def release_session(self, agent: str) -> None:
        """A session of that agent is over."""
        self.sessions[agent] -= 1

    def _excess_sessions(self, agent: str) -> Excess | None:
        if self.per_agent and self.sessions[agent] >= self.per_agent:
            return Excess(f"Number of concurrent connections per agent exceeded ({self.per_agent})", MINUTE)
        if self.per_account and self.sessions.total() >= self.per_account:
            return Excess(f"Number of concurrent connections per account exceeded ({self.per_account})", MINUTE)
        return None

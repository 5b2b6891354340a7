"""The habits of the emulated visitors and agents: mean times in seconds, and shares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """What the world is like. All times are means of exponential distributions."""

    arrival_every: float = 60
    """Between two visitors of one department of average size."""
    patience: float = 150
    """A visitor who is not served by then leaves."""
    routing: float = 2
    """Until a waiting chat is assigned, once an agent is free."""
    accepting: float = 8
    """Until the agent serves an assigned chat."""
    reply: float = 15
    """Until the agent answers."""
    reaction: float = 18
    """Until the visitor writes again."""
    status_change: float = 600
    """Between two changes of an agent's status."""
    rating_after: float = 10
    """Until a visitor rates a chat that ended."""
    ending: float = 0.1
    """Share of messages after which the chat ends."""
    transferred: float = 0.008
    """Share of messages after which the chat is transferred."""
    impatient: float = 0.25
    """Share of visitor messages that are followed by another one before the reply."""
    rated_good: float = 0.35
    """Share of chats rated good."""
    rated_bad: float = 0.08
    """Share of chats rated bad."""
    agents_per_department: int = 4
    """Agents whose first department it is."""
    second_department: float = 0.25
    """Share of agents who work in two departments."""
    statuses: tuple[tuple[str, float], ...] = (
        ("online", 0.7), ("away", 0.15), ("invisible", 0.08), ("offline", 0.07),
    )  # fmt: skip
    """Share of an agent's time per status."""
    warm_up: float = 1800
    """Seconds that the world has already lived when it starts."""

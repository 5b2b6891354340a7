"""Who is in the emulated account: departments, agents and the chats of visitors."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

STATUSES: Final = ("online", "away", "invisible")
"""What an agent who is logged in can be; ``offline`` is everything else."""

OFFLINE: Final = "offline"

DEPARTMENT_NAMES: Final = ("Support", "Sales", "Billing", "Returns", "Technical", "Onboarding", "Partners", "VIP")


class Stage(Enum):
    """Where a chat is on its way: it only ever moves down this list, except when transferred."""

    INCOMING = "incoming"
    ASSIGNED = "assigned"
    ACTIVE = "active"
    OVER = "over"


@dataclass(eq=False, slots=True)
class Agent:
    """Somebody who serves chats in one or more departments, at most `capacity` at a time."""

    id: int
    departments: tuple[int, ...]
    capacity: int = 3
    status: str = OFFLINE
    chats: int = 0

    @property
    def free(self) -> bool:
        """Whether one more chat may be assigned."""
        return self.status == "online" and self.chats < self.capacity


@dataclass(eq=False, slots=True)
class Chat:
    """One visitor's conversation, from its arrival until it is over."""

    id: int
    department_id: int
    stage: Stage = Stage.INCOMING
    agent: Agent | None = None
    leg: int = 0
    """+1 at each transfer, so that what was planned for the former department is void."""


@dataclass(eq=False, slots=True)
class Department:
    """A department as the Departments API shows it, and its agents."""

    id: int
    name: str
    enabled: bool = True
    agents: list[Agent] = field(default_factory=list)


def department_name(number: int) -> str:
    """A name for the n-th department, from 0: Support, Sales and so on, later Support 2."""
    name = DEPARTMENT_NAMES[number % len(DEPARTMENT_NAMES)]
    generation = number // len(DEPARTMENT_NAMES) + 1
    return name if generation == 1 else f"{name} {generation}"

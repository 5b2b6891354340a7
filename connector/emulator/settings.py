"""What an emulator is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connector.emulator.accounts import DEFAULT_CLIENTS, DEFAULT_TOKENS
from connector.emulator.behaviour import Behaviour
from connector.emulator.limits import Limits
from connector.emulator.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(kw_only=True)
class EmulatorSettings:
    """Settings of one `Emulator`; the defaults run a small account in real time on a free port."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    departments: int = 3
    first_department_id: int = 1
    seed: int = 1
    rate: float | None = None
    """Frames a second to push in total, by speeding simulated time up; None lives in real time."""
    speed: float = 1.0
    """Simulated seconds per second, without a rate."""
    blast: int = 0
    """Instead of the world, send this many pre-made updates over and over (at `rate`, or flat out)."""
    cold: bool = False
    """Start with nothing computed."""
    journal: Path | None = None
    journal_all: bool = False
    """Also journal the values that the world published, delivered or not."""
    journal_sync: bool = False
    """Wait for the disk at every flush of the journal."""
    tls: Path | None = None
    """Directory of the test CA and certificate (made if absent); None serves without TLS."""
    tokens: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_TOKENS))
    """Role by token."""
    clients: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_CLIENTS))
    """Secret by OAuth client id."""
    behaviour: Behaviour = field(default_factory=Behaviour)
    limits: Limits = field(default_factory=Limits)
    scenario: Scenario = field(default_factory=Scenario)

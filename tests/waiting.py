"""Waiting for what is to happen: no test sleeps and hopes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HANG = 120.0
"""Seconds after which something that takes 12 at most is given up."""


def wait_until(condition: Callable[[], Any], seconds: float = HANG, what: str = "condition") -> Any:
    """Poll until the condition gives something true; that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")

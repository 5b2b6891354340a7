"""The last check of a run: no credential of any test may have got into what the connector showed.

Tests that run a connector tell its secrets and what it wrote; `conftest.pytest_sessionfinish` asks for the leaks and
fails the run. What is searched for, and in which forms, is in tests/operate/canary.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "operate"))

from canary import hits

searched: list[str] = []
"""Names of the places that were looked at."""

_found: list[str] = []


def search(secrets, places):
    """Look for the secrets, by name, in texts or bytes, by name; what is found fails the run at its end."""
    searched.extend(places)
    _found.extend(f"{hit.canary} in {hit.place}: …{hit.text}…" for hit in hits(secrets, places))


def take():
    """Every leak so far, once."""
    found, _found[:] = list(dict.fromkeys(_found)), []
    return found

"""Stages around the real broker and registry."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from rehearsal import fixtures, pytest_pyfunc_call

__all__ = ["make_stage", "pytest_pyfunc_call", "rehearsal"]

rehearsal, make_stage = fixtures(Path(__file__).parent)

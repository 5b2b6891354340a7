"""The wheels of the chart's tools, importable after everything else."""

from __future__ import annotations

import sys

from chart.tools import wheels

sys.path.append(str(wheels()))

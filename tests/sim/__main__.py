"""Run seeds of the simulation: ``python -m tests.sim --seeds 20000 --minutes 3 --jobs 2``."""

from __future__ import annotations

import sys

from .runner import main

sys.exit(main(sys.argv[1:]))

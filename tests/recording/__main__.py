"""Write the recording: ``python -m tests.recording [FOLDER]``; samples/ by default."""

from __future__ import annotations

import sys
from pathlib import Path

from .files import write

FOLDER = Path(__file__).resolve().parents[2] / "samples"

if __name__ == "__main__":
    for line in write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(line)

"""The commands of the examples' pages, so that they are run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PAGES = sorted(EXAMPLES.glob("*/README.md"))
PART = re.compile(r"^## (\w+)\n+```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def lines(engine: str, part: str) -> list[str]:
    """The commands of "## Build" or "## Run" of examples/{engine}/README.md; none if it has no such part."""
    page = (EXAMPLES / engine / "README.md").read_text()
    return dict(PART.findall(page)).get(part, "").splitlines()

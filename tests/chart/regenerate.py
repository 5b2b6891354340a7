"""Writes the golden files anew: what each file of helm/ci renders."""

from __future__ import annotations

from pathlib import Path

from chart.render import CASES, canonical, rendered

GOLDEN = Path(__file__).parent / "golden"


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        text = canonical(rendered(values=case))
        (GOLDEN / f"{case.name.removesuffix('-values.yaml')}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

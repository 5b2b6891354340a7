"""The simulation itself: it repeats itself, the product passes, and each build with a rule switched off fails."""

from __future__ import annotations

import pytest
from sim.controls import CONTROLS
from sim.runner import Tally, history, main, play

SEEDS = (*range(200), 15140, 24474, 220149)
"""And those that found what earlier builds did wrong."""
FOUND_AT = {
    "no-fence-before-read": (165, 182),
    "no-rebuild": (40,),
    "no-epoch": (0, 1),
    "committed-snapshot": (23, 48),
    "offsets-apart": (0, 15),
    "no-owner-check": (421,),
    "no-first-row": (15,),
    "no-other-topics": (17,),
    "no-claim": (220149,),
}
"""Seeds at which each control is known to fail; one that still does is enough."""


def test_the_same_seed_is_the_same_history():
    assert history(3) == history(3)
    assert history(3) != history(4)


def test_the_product_passes():
    assert {seed: findings for seed in SEEDS if (findings := play(seed))} == {}


@pytest.mark.parametrize("control", sorted(set(CONTROLS) - {"none"}))
def test_a_build_without_the_rule_fails(control):
    known = (seed for seed in FOUND_AT[control] if play(seed, control))
    further = (seed for seed in range(1000) if play(seed, control))
    assert next(known, next(further, None)) is not None


def test_a_long_run_can_be_continued(tmp_path, capsys):
    results = tmp_path / "results.json"
    arguments = ["--minutes", "5", "--jobs", "1", "--start", "7", "--results", str(results)]
    assert main([*arguments, "--seeds", "2"]) == 0
    assert main([*arguments, "--seeds", "3"]) == 0
    assert Tally(results, 0).done == 3
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"

"""The benchmark of the gate: the connector and the bare script in turn, on one broker, in one run.

Only the ratio counts, so a loaded machine does no harm: both carry the same frames through the same client and codec.
"""

from __future__ import annotations

import statistics
import sys

from bench.rig import Rig, Run

PAIRS = 5
UPDATES = 25_000
LEAST = 0.5


def main() -> int:
    """Print each pair and the median ratio; 1 if it is below `LEAST` or the audit finds anything."""
    with Rig() as rig, Run(rig, every=1000) as ours, Run(rig, "bare", every=1000) as bare:
        for run in (ours, bare):
            run.burst(5000)
        ratios = []
        for _ in range(PAIRS):
            mine, other = ours.burst(UPDATES), bare.burst(UPDATES)
            ratios.append(mine["updates_per_second"] / other["updates_per_second"])
            print(
                f"connector {mine['updates_per_second']:,.0f}/s {mine['cpu_us_per_update']:.1f} µs,"
                f" bare {other['updates_per_second']:,.0f}/s {other['cpu_us_per_update']:.1f} µs: {ratios[-1]:.2f}",
                flush=True,
            )
        clean = ours.verify()
    ratio = statistics.median(ratios)
    print(f"median ratio {ratio:.2f}, at least {LEAST} is needed; verify {'clean' if clean else 'found something'}")
    return 0 if clean and ratio >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())

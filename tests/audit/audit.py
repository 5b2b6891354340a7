"""make audit: the locked packages are the published ones, are listed in an SBOM, and have no known vulnerability.

The first two always; the last where an advisory service answers. There every package must have been looked up, and
each vulnerability mended or waived: a line of waivers.txt with its id, the last day of the waiver and the reason.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
SHIPPED, ALL = "requirements.lock", "requirements-dev.lock"
"""The second holds the first, and what the tests need."""
SBOM = ROOT / "build" / "sbom.cdx.json"
WAIVERS = Path(__file__).parent / "waivers.txt"


def main() -> int:
    download = [
        sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps",
        "--disable-pip-version-check", "--require-hashes", "-r", ROOT / ALL,
    ]  # fmt: skip
    good = run(download, f"{ALL}: hashes")
    SBOM.parent.mkdir(exist_ok=True)
    listing = [BIN / "cyclonedx-py", "requirements", ROOT / SHIPPED, "--of", "JSON", "-o", SBOM]
    good = run(listing, f"{SBOM.relative_to(ROOT)}: CycloneDX") and good
    return 0 if audited(ALL) and good else 1


def run(command: list[object], what: str) -> bool:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    print(f"{what}: {'good' if done.returncode == 0 else 'FAILED'}", flush=True)
    if done.returncode:
        print(done.stderr[-2000:], flush=True)
    return done.returncode == 0


def audited(lock: str) -> bool:
    command = [
        BIN / "pip-audit", "--requirement", ROOT / lock, "--require-hashes", "--disable-pip", "--format", "json",
        "--progress-spinner", "off", *(f"--ignore-vuln={one}" for one in waived(WAIVERS.read_text(), today())),
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    text, good = verdict(done.stdout)
    print(f"{lock}: {text}", flush=True)
    return good


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def waived(text: str, day: dt.date) -> list[str]:
    """Ids whose waiver has not ended."""
    lines = [line.split(maxsplit=2) for line in text.splitlines() if line and not line.startswith("#")]
    return [name for name, until, _reason in lines if dt.date.fromisoformat(until) >= day]


def verdict(report: str) -> tuple[str, bool]:
    """What pip-audit found, in words, and whether that is good."""
    packages = json.loads(report)["dependencies"] if report.strip() else []
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    if len(skipped) == len(packages):
        return "NOT AUDITED: no advisory service answers here", True
    if skipped:
        return f"FAILED: not audited: {', '.join(skipped)}", False
    found = [f"{one['name']} {bug['id']}" for one in packages for bug in one["vulns"]]
    return (f"FAILED: {', '.join(found)}", False) if found else (f"{len(packages)} packages audited: good", True)


if __name__ == "__main__":
    sys.exit(main())

"""What an audit of the packages is made of."""

import datetime as dt
import json

from audit.audit import verdict, waived

GOOD = {"name": "one", "version": "1", "vulns": []}
BAD = {"name": "two", "version": "1", "vulns": [{"id": "CVE-1"}]}
SKIPPED = {"name": "three", "skip_reason": "not found"}


def judged(*packages):
    return verdict(json.dumps({"dependencies": packages}))


def test_a_vulnerability_and_a_package_that_was_not_audited_fail():
    assert judged(GOOD) == ("1 packages audited: good", True)
    assert judged(GOOD, BAD) == ("FAILED: two CVE-1", False)
    assert judged(GOOD, SKIPPED) == ("FAILED: not audited: three", False)


def test_without_an_advisory_service_it_says_so():
    assert judged(SKIPPED)[0].startswith("NOT AUDITED")
    assert verdict("")[0].startswith("NOT AUDITED")


def test_a_waiver_ends():
    text = "# id until reason\nCVE-1 2026-01-31 not reachable from here\n"
    assert waived(text, dt.date(2026, 1, 31)) == ["CVE-1"]
    assert waived(text, dt.date(2026, 2, 1)) == []

"""Minutes of silence: the heartbeats keep closing windows, and without them the last window never closes."""

from __future__ import annotations

from consume import tides
from figures import tell

SECONDS = 180


def test_windows_close_in_a_long_silence(kafka_bootstrap, registry_url, tmp_path, monkeypatch):
    monkeypatch.setattr(tides, "SILENCE_SECONDS", SECONDS)
    found = tides.run(kafka_bootstrap, registry_url, tmp_path)
    tell(f"silence of {SECONDS} s: {found}")
    assert found.in_silence["averages"] == found.sent
    assert 0 < found.in_silence["alone"] < found.sent
    assert found.late["averages"] == 0
    assert found.late["emitted"] > 0

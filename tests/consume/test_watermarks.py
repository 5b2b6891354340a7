"""Flink's windows: the heartbeats close them while no update comes, and a backlog after an outage is not late."""

from __future__ import annotations

from figures import tell


def test_heartbeats_close_windows_in_silence(tide):
    assert tide.in_silence["averages"] == tide.sent
    assert 0 < tide.in_silence["alone"] < tide.sent, "without heartbeats the last window stays open"


def test_a_backlog_after_an_outage_is_not_late(tide):
    tell(f"late rows of {tide.backlog} after an outage of an hour, by watermark: {tide.late}")
    assert tide.late["averages"] == 0
    assert tide.late["emitted"] > 0, "by emitted_at the backlog is late"

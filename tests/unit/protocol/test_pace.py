"""How fast messages may go."""

import pytest

from connector.protocol.pace import Pace


def sent(pace, until):
    """The times of all messages, sent one by one as soon as each may be."""
    times = []
    now = pace.ready_at if pace.ready_at > 0 else 0.0
    while now <= until:
        times.append(now)
        pace.spend(1, now)
        now = max(now, pace.ready_at)
    return times


def test_burst_then_rate():
    times = sent(Pace(200.0, 20.0, 0.0), 1.0)
    assert times[:20] == [0.0] * 20
    assert times[20] > 1e-3
    assert 219 <= len(times) <= 221


def test_a_burst_of_one_is_no_burst():
    assert sent(Pace(2.0, 1.0, 0.0), 2.0) == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.003)


def test_idle_time_is_not_saved_beyond_the_burst():
    pace = Pace(10.0, 2.0, 0.0)
    pace.spend(1, 100.0)
    assert pace.ready_at <= 100.0
    pace.spend(1, 100.0)
    assert pace.ready_at > 100.0


def test_a_group_is_paid_for_afterwards():
    pace = Pace(10.0, 1.0, 0.0)
    pace.spend(5, 0.0)
    assert pace.ready_at == pytest.approx(0.5, abs=0.001)

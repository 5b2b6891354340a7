"""All 15 metrics by their definitions: small scripted days, every expectation computed by hand."""

from connector.domain.metrics import METRICS
from connector.domain.model import Series
from connector.emulator.floor import MINUTE, Floor
from connector.emulator.people import Agent, Chat

SECOND = 1000
SUPPORT, SALES = 5, 9


def floor():
    made = Floor()
    made.open_department(SUPPORT)
    made.open_department(SALES)
    return made


def read(made, metric, now=0, department=None, window=None):
    family = "agents" if metric.startswith("agents") else "chats"
    return made.value(Series(family, metric, window, department), now)


def everywhere(made, metric, now=0, window=None):
    """The value in the account, in Support and in Sales."""
    return [read(made, metric, now, department, window) for department in (None, SUPPORT, SALES)]


def served(made, number, department, at, agent):
    chat = Chat(number, department)
    made.arrive(chat, at)
    made.assign(chat, agent)
    made.serve(chat, at)
    return chat


def test_an_empty_floor_counts_zero_and_knows_no_duration():
    made = floor()
    for metric in METRICS:
        expected = None if metric.unit == "seconds" else 0
        assert read(made, metric.key, window=30 if metric.windowed else None) == expected, metric.key


def test_incoming_assigned_and_active_chats_follow_one_chat():
    made, chat, agent = floor(), Chat(1, SUPPORT), Agent(1, (SUPPORT,))
    counts = []
    for act in (
        lambda: made.arrive(chat, 0),
        lambda: made.assign(chat, agent),
        lambda: made.serve(chat, 0),
        lambda: made.end(chat),
    ):
        act()
        counts.append([everywhere(made, f"{stage}_chats") for stage in ("incoming", "assigned", "active")])
    none, one = [0, 0, 0], [1, 1, 0]
    assert counts == [[one, none, none], [none, one, none], [none, none, one], [none, none, none]]
    assert agent.chats == 0


def test_waiting_time_runs_from_the_request_until_served_assigned_or_not():
    made, agent = floor(), Agent(1, (SUPPORT,))
    first, second, other = Chat(1, SUPPORT), Chat(2, SUPPORT), Chat(3, SALES)
    made.arrive(first, 0)
    made.arrive(second, 10 * SECOND)
    made.arrive(other, 30 * SECOND)
    made.assign(first, agent)
    now = 40 * SECOND
    assert everywhere(made, "waiting_time_avg", now) == [(40 + 30 + 10) / 3, 35, 10]
    assert everywhere(made, "waiting_time_max", now) == [40, 40, 10]
    made.serve(first, now)
    assert everywhere(made, "waiting_time_avg", now) == [20, 30, 10]
    assert everywhere(made, "waiting_time_max", now) == [30, 30, 10]
    made.miss(second, now)
    assert everywhere(made, "waiting_time_avg", now) == [10, None, 10]


def test_chat_duration_covers_the_chats_being_served():
    made, agent = floor(), Agent(1, (SUPPORT,))
    first = served(made, 1, SUPPORT, 0, agent)
    served(made, 2, SUPPORT, 60 * SECOND, agent)
    now = 100 * SECOND
    assert everywhere(made, "chat_duration_avg", now) == [70, 70, None]
    assert everywhere(made, "chat_duration_max", now) == [100, 100, None]
    made.end(first)
    assert everywhere(made, "chat_duration_avg", now) == [40, 40, None]
    assert everywhere(made, "chat_duration_max", now) == [40, 40, None]


def test_response_time_counts_from_the_first_unanswered_message():
    made, agent = floor(), Agent(1, (SUPPORT,))
    first = served(made, 1, SUPPORT, 0, agent)
    second = served(made, 2, SALES, 0, agent)
    assert everywhere(made, "response_time_avg", 5 * SECOND) == [None, None, None]
    made.visitor_message(first, 10 * SECOND)
    made.visitor_message(first, 25 * SECOND)
    made.visitor_message(second, 30 * SECOND)
    now = 40 * SECOND
    assert everywhere(made, "response_time_avg", now) == [20, 30, 10]
    assert everywhere(made, "response_time_max", now) == [30, 30, 10]
    made.agent_message(first)
    assert everywhere(made, "response_time_max", now) == [10, None, 10]
    made.visitor_message(first, 50 * SECOND)
    assert everywhere(made, "response_time_max", 60 * SECOND) == [30, 10, 30]
    made.end(first)
    made.end(second)
    assert everywhere(made, "response_time_avg", 60 * SECOND) == [None, None, None]


def test_a_transferred_chat_waits_again_in_its_new_department():
    made, agent = floor(), Agent(1, (SUPPORT,))
    chat = served(made, 1, SUPPORT, 0, agent)
    made.visitor_message(chat, 0)
    made.transfer(chat, SALES, 100 * SECOND)
    now = 130 * SECOND
    assert everywhere(made, "active_chats") == [0, 0, 0]
    assert everywhere(made, "incoming_chats") == [1, 0, 1]
    assert everywhere(made, "waiting_time_max", now) == [30, None, 30]
    assert everywhere(made, "chat_duration_max", now) == [None, None, None]
    assert everywhere(made, "response_time_max", now) == [None, None, None]
    assert agent.chats == 0


def test_missed_chats_are_those_left_unserved_incoming_or_assigned():
    made, agent = floor(), Agent(1, (SUPPORT,))
    waiting, assigned = Chat(1, SUPPORT), Chat(2, SUPPORT)
    made.arrive(waiting, 0)
    made.arrive(assigned, 0)
    made.assign(assigned, agent)
    made.miss(waiting, 0)
    made.miss(assigned, 0)
    assert everywhere(made, "missed_chats", window=30) == [2, 2, 0]
    assert everywhere(made, "missed_chats", window=60) == [2, 2, 0]
    assert everywhere(made, "incoming_chats") == everywhere(made, "assigned_chats") == [0, 0, 0]
    assert agent.chats == 0


def test_events_leave_their_windows_after_30_and_60_minutes():
    made = floor()
    made.rate(SUPPORT, good=True, now=0)
    made.rate(SALES, good=True, now=20 * MINUTE)
    made.rate(SALES, good=False, now=20 * MINUTE)

    def ratings(now):
        made.age(now)
        return [
            everywhere(made, f"satisfaction_{kind}", window=window) for kind in ("good", "bad") for window in (30, 60)
        ]

    assert ratings(30 * MINUTE - 1) == [[2, 1, 1], [2, 1, 1], [1, 0, 1], [1, 0, 1]]
    assert ratings(30 * MINUTE) == [[1, 0, 1], [2, 1, 1], [1, 0, 1], [1, 0, 1]]
    assert made.next_ageing() == 50 * MINUTE
    assert ratings(50 * MINUTE) == [[0, 0, 0], [2, 1, 1], [0, 0, 0], [1, 0, 1]]
    assert ratings(60 * MINUTE) == [[0, 0, 0], [1, 0, 1], [0, 0, 0], [1, 0, 1]]
    assert ratings(80 * MINUTE) == [[0, 0, 0]] * 4
    assert made.next_ageing() is None


def test_agents_count_once_per_department_and_once_in_the_account():
    made = floor()
    both, one = Agent(1, (SUPPORT, SALES)), Agent(2, (SALES,))
    for agent in (both, one):
        made.set_status(agent, "online")
    assert everywhere(made, "agents_online") == [2, 1, 2]
    made.set_status(both, "away")
    made.set_status(one, "invisible")
    assert everywhere(made, "agents_online") == [0, 0, 0]
    assert everywhere(made, "agents_away") == [1, 1, 1]
    assert everywhere(made, "agents_invisible") == [1, 0, 1]
    made.set_status(both, "offline")
    assert everywhere(made, "agents_away") == [0, 0, 0]


def test_only_what_an_event_affects_is_touched():
    made, agent = floor(), Agent(1, (SUPPORT,))
    chat = served(made, 1, SUPPORT, 0, agent)
    made.take_touched()
    made.visitor_message(chat, 0)
    touched = {(series.metric, series.department_id) for series in made.take_touched()}
    assert touched == {
        (f"response_time_{kind}", department) for kind in ("avg", "max") for department in (None, SUPPORT)
    }
    assert made.take_touched() == []


def test_a_closed_department_takes_its_chats_along_but_not_the_accounts_history():
    made, agent = floor(), Agent(1, (SUPPORT,))
    served(made, 1, SUPPORT, 0, agent)
    made.arrive(Chat(2, SUPPORT), 0)
    made.rate(SUPPORT, good=True, now=0)
    made.close_department(SUPPORT)
    assert read(made, "active_chats") == read(made, "incoming_chats") == 0
    assert read(made, "waiting_time_max", 5) is None
    assert read(made, "satisfaction_good", window=30) == 1
    made.age(30 * MINUTE)
    assert read(made, "satisfaction_good", window=30) == 0
    assert {series.department_id for series in made.take_touched()} == {None}

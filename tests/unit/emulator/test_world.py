"""The world: same seed, same world; its board agrees with a recount of everybody in it."""

from collections import Counter

import pytest

from connector.domain.model import Series
from connector.emulator.people import Stage, department_name
from connector.emulator.scenario import Scenario
from connector.emulator.world import FAR, World

QUIET = Scenario(warm_up=0, arrival_every=1e9, status_change=1e9)


def lived(seed, events=3000, departments=4):
    world = World(departments=departments, seed=seed)
    return world, [change for _ in range(events) for change in world.step()]


def test_same_seed_same_world():
    assert lived(7)[1] == lived(7)[1]
    assert lived(7)[1] != lived(8)[1]


def test_switches_do_not_change_the_world():
    world = World(departments=4, seed=7)
    world.negatives, world.float_averages, world.push_ageing = 0.5, True, True
    for _ in range(3000):
        world.step()
    assert world.now == lived(7)[0].now


def test_the_board_is_what_a_recount_gives():
    world, _ = lived(3)
    for department in (None, *world.departments):
        chats = [
            chat for number, mine in world.floor.chats.items() for chat in mine.values() if department in (None, number)
        ]
        stages = Counter(chat.stage for chat in chats)
        for stage in (Stage.INCOMING, Stage.ASSIGNED, Stage.ACTIVE):
            assert world.board[Series("chats", f"{stage.value}_chats", None, department)] == str(stages[stage])
        statuses = Counter(agent.status for agent in world.agents if department in (None, *agent.departments))
        for status in ("online", "away", "invisible"):
            assert world.board[Series("agents", f"agents_{status}", None, department)] == str(statuses[status])
    for agent in world.agents:
        assert agent.chats == sum(chat.agent is agent for mine in world.floor.chats.values() for chat in mine.values())


def test_every_metric_moves_in_every_department_and_in_the_account():
    world, changes = lived(1, events=20_000)
    assert {series for series, _ in changes} == set(world.board)
    assert len(world.board) == 5 * 18


def test_only_new_values_are_changes_and_the_board_follows():
    world = World(departments=2, seed=5)
    world.push_ageing = True
    board = dict(world.board)
    for _ in range(2000):
        for series, literal in world.step():
            assert board[series] != literal
            board[series] = literal
            assert world.board[series] == literal


def test_values_are_integers_or_null_and_averages_may_be_floats():
    world, changes = lived(2)
    assert all(literal == "null" or literal.lstrip("-").isdigit() for _, literal in changes)
    world.float_averages = True
    floats = {series.metric for _ in range(500) for series, literal in world.step() if "." in literal}
    assert floats
    assert all(metric.endswith("_avg") for metric in floats)


def test_negatives_come_now_and_then_in_active_chats_only():
    world = World(departments=2, seed=1)
    world.negatives = 0.5
    negative = Counter(series.metric for _ in range(3000) for series, literal in world.step() if literal == "-1")
    assert set(negative) == {"active_chats"}


@pytest.mark.parametrize("pushed", [True, False])
def test_ageing_changes_the_board_and_is_pushed_if_wanted(pushed):
    world = World(departments=1, seed=1, scenario=QUIET)
    world.push_ageing = pushed
    world.floor.rate(1, good=True, now=world.now)
    world.publish(world.floor.take_touched())
    series = Series("chats", "satisfaction_good", 30, 1)
    assert world.board[series] == "1"
    changes = world.run_until(30 * 60_000)
    assert ((series, "0") in changes) is pushed
    assert world.board[series] == "0"


def test_time_goes_on_to_where_it_was_asked_to():
    world = World(departments=0, seed=1)
    assert world.next_at() == FAR
    assert world.step() == []
    started = world.now
    assert world.run_until(started + 5000) == []
    assert world.now == started + 5000


def test_departments_come_and_go():
    world = World(departments=2, seed=1, first_department_id=13388700431505)
    assert [one.name for one in world.departments.values()] == ["Support", "Sales"]
    opened = world.add_department(77, "Night")
    assert {series.department_id for series, _ in opened} > {None, 77}
    assert len([1 for series, _ in opened if series.department_id == 77]) == 18
    world.remove_department(13388700431505)
    assert {series.department_id for series in world.board} == {None, 13388700431506, 77}
    for _ in range(3000):
        assert all(series.department_id != 13388700431505 for series, _ in world.step())
    with pytest.raises(KeyError):
        world.remove_department(13388700431505)


def test_a_value_can_be_set_and_the_next_event_corrects_it():
    world = World(departments=1, seed=1)
    series = Series("chats", "active_chats", None, 1)
    assert world.set_value(series, "-1") == (series, "-1")
    assert world.board[series] == "-1"
    with pytest.raises(KeyError):
        world.set_value(Series("chats", "active_chats", None, 99), "1")
    while world.board[series] == "-1":
        world.step()


def test_durations_as_of_now_go_on_between_events():
    world = World(departments=1, seed=1, scenario=QUIET)
    from connector.emulator.people import Chat

    world.floor.arrive(Chat(1, 1), world.now)
    world.publish(world.floor.take_touched())
    world.now += 9000
    series = Series("chats", "waiting_time_max", None, 1)
    assert (world.board[series], world.current(series)) == ("0", "9")


def test_department_names_repeat_with_a_number():
    assert [department_name(number) for number in (0, 1, 8)] == ["Support", "Sales", "Support 2"]

"""The REST twin shows the state of the stream; the Departments API shows the world's departments."""

import json

import pytest

from connector.domain.metrics import METRICS
from connector.domain.model import Series
from connector.emulator.behaviour import Behaviour
from connector.emulator.hub import Hub
from connector.emulator.rest import DepartmentsApi, RestTwin
from connector.emulator.world import World


class Place:
    def __init__(self, **switches):
        self.world = World(departments=2, seed=1)
        behaviour = Behaviour(**switches)
        self.hub = Hub(self.world, behaviour)
        self.twin = RestTwin(self.world, self.hub, behaviour)
        self.departments = DepartmentsApi(self.world, behaviour)

    def get(self, family="chats", key=None, **query):
        answer = self.twin.answer(family, key, query)
        return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("family", ["chats", "agents"])
@pytest.mark.parametrize("department", [None, 2])
def test_the_twin_equals_the_stream(family, department):
    place = Place()
    pushed = dict(place.world.board)
    for _ in range(5000):
        pushed.update(place.world.step())
    place.world.push_ageing = True
    query = {} if department is None else {"department_id": str(department)}
    status, body = place.get(family, **query)
    values = {}
    for key, value in body["content"]["data"].items():
        windows = value.items() if isinstance(value, dict) else [(None, value)]
        for window, number in windows:
            values[Series(family, key, window and int(window), department)] = json.dumps(number)
    mine = [one for one in pushed if (one.family, one.department_id) == (family, department)]
    assert status == body["status_code"] == 200
    assert values == {one: place.world.board[one] for one in mine}
    assert body["content"]["department_id"] == department
    assert body["content"]["topic"] == family


def test_all_twelve_and_all_three_in_one_body():
    place = Place()
    assert set(place.get()[1]["content"]["data"]) == {one.key for one in METRICS if one.family == "chats"}
    assert set(place.get("agents")[1]["content"]["data"]) == {"agents_online", "agents_away", "agents_invisible"}


def test_a_window_narrows_only_the_windowed_metrics():
    place = Place()
    data = place.get(window="30")[1]["content"]["data"]
    assert len(data) == 12
    assert set(data["missed_chats"]) == set(data["satisfaction_good"]) == {"30"}
    assert set(place.get(key="missed_chats")[1]["content"]["data"]["missed_chats"]) == {"30", "60"}
    assert set(place.get(key="missed_chats", window="60")[1]["content"]["data"]["missed_chats"]) == {"60"}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"key": "nonsense"}, 404),
        ({"family": "agents", "key": "missed_chats"}, 404),
        ({"family": "visitors"}, 404),
        ({"window": "15"}, 400),
        ({"department_id": "99"}, 400),
        ({"department_id": "x"}, 400),
    ],
)
def test_nonsense_is_refused(arguments, status):
    assert Place().get(**arguments)[0] == status


def test_cold_data_as_message_or_nulls():
    place = Place()
    place.hub.cold = True
    assert place.get() == (200, {"status_code": 200, "message": "Not Computed!"})
    place = Place(cold="null")
    place.hub.cold = True
    assert place.get(key="missed_chats")[1]["content"]["data"] == {"missed_chats": {"30": None, "60": None}}


def test_departments_by_list_id_and_name():
    departments = Place().departments
    shown = json.loads(departments.all().body)
    assert [(one["id"], one["name"], one["enabled"]) for one in shown] == [(1, "Support", 1), (2, "Sales", 1)]
    assert shown[0]["settings"] == {}
    assert {1, 2, 3, 4} <= set(shown[0]["members"])
    assert json.loads(departments.by_id("2").body) == json.loads(departments.by_name("Sales").body) == shown[1]
    for missing in (departments.by_id("99"), departments.by_id("x"), departments.by_name("sales")):
        assert missing.status == 404


def test_switch_enabled():
    assert '"enabled": 1,' in Place(enabled="int").departments.all().body
    assert '"enabled": true,' in Place(enabled="bool").departments.all().body

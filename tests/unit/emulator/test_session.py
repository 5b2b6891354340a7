"""The source's side of a connection: what each message leads to, under every switch."""

import json

import pytest

from connector.domain.model import Series
from connector.emulator.behaviour import Behaviour
from connector.emulator.hub import Hub
from connector.emulator.world import World

AUTH = {"status_code": 200, "message": {"authenticated": True}}
UNSUPPORTED = {"status_code": 500, "message": "Unsupported message"}
MISSED = "chats.missed_chats"
INCOMING = "chats.incoming_chats"


class Line:
    """A session on a small account, and what came out of it."""

    def __init__(self, authenticated=True, **switches):
        self.world = World(departments=2, seed=1)
        self.behaviour = Behaviour(**switches)
        self.hub = Hub(self.world, self.behaviour)
        self.session = self.hub.session("s", authenticated=authenticated)

    def out(self):
        frames, self.session.outbox = self.session.outbox, []
        return [json.loads(frame.payload) for frame in frames]

    def send(self, **message):
        self.reply = self.hub.receive(self.session, json.dumps(message))
        return self.out()

    def subscribe(self, topic, **more):
        return self.send(topic=topic, action="subscribe", **more)

    def unsubscribe(self, topic, **more):
        return self.send(topic=topic, action="unsubscribe", **more)

    @property
    def names(self):
        return [series.name for series in self.session.subscriptions]

    def push(self, *changes):
        sent = self.hub.deliver([self.world.set_value(Series.parse(name), literal) for name, literal in changes])
        out = self.out()
        assert sent == len(out)
        return out


def update(data, family="chats", department=None):
    content = {"topic": family, "data": data, "type": "update", "department_id": department}
    return {"content": content, "status_code": 200}


def test_the_authentication_frame_comes_first():
    line = Line()
    assert line.session.open()
    assert line.out() == [AUTH]


def test_switch_auth_frame():
    line = Line(auth_frame=False)
    assert line.session.open()
    assert line.out() == []


def test_a_bad_token_gets_the_401_frame_and_nothing_else():
    line = Line(authenticated=False)
    assert not line.session.open()
    assert line.out() == [{"status_code": 401, "message": "Unable to verify the identity of the client"}]
    assert line.subscribe(INCOMING) == []
    assert line.names == []


def test_the_documents_own_samples_byte_for_byte():
    line = Line()
    line.subscribe(INCOMING)
    line.subscribe(MISSED, window=30)
    line.subscribe("agents.agents_online", department_id=2)
    for name, literal in (
        ("chats.incoming_chats||", "2"),
        ("chats.missed_chats|30|", "1"),
        ("agents.agents_online||2", "26"),
    ):
        line.hub.deliver([(Series.parse(name), literal)])
    assert [frame.payload.decode() for frame in line.session.outbox] == [
        '{"content":{"topic":"chats","data":{"incoming_chats":2},"type":"update","department_id":null},"status_code":200}',
        '{"content":{"topic":"chats","data":{"missed_chats":{"30":1}},"type":"update","department_id":null},"status_code":200}',
        '{"content":{"topic":"agents","data":{"agents_online":26},"type":"update","department_id":2},"status_code":200}',
    ]


def test_a_subscription_begins_with_a_snapshot():
    line = Line()
    line.world.set_value(Series.parse("chats.incoming_chats||2"), "41")
    assert line.subscribe(INCOMING, department_id=2) == [update({"incoming_chats": 41}, department=2)]


def test_switch_snapshot():
    line = Line(snapshot=False)
    assert line.subscribe(INCOMING) == []
    assert line.push(("chats.incoming_chats||", "3")) == [update({"incoming_chats": 3})]


def test_only_subscribers_get_updates():
    line = Line()
    line.subscribe(MISSED, window=30, department_id=1)
    assert (
        line.push(("chats.missed_chats|60|1", "5"), ("chats.missed_chats|30|2", "5"), ("chats.missed_chats|30|", "5"))
        == []
    )
    assert line.push(("chats.missed_chats|30|1", "6")) == [update({"missed_chats": {"30": 6}}, department=1)]
    line.hub.leave(line.session)
    assert line.push(("chats.missed_chats|30|1", "7")) == []
    assert not line.hub.listening


@pytest.mark.parametrize(
    "message",
    [
        "Hello, world!", "", "[]", "3", "null", "[" * 100_000, b"\xff\xfe", '{topic: "chats.incoming_chats"}',
        '{"topic":"chats.incoming_chats"}', '{"topic":"chats.incoming_chats","action":"get"}',
        '{"topic":"chats","action":"subscribe"}', '{"topic":"chats.nonsense","action":"subscribe"}',
        '{"topic":7,"action":"subscribe"}', '{"topic":["chats"],"action":"subscribe"}',
        '{"topic":"chats.missed_chats","action":"subscribe"}',
        '{"topic":"chats.missed_chats","action":"subscribe","window":15}',
        '{"topic":"chats.missed_chats","action":"subscribe","window":true}',
        '{"topic":"chats.missed_chats","action":"subscribe","window":"30"}',
        '{"topic":"chats.missed_chats","action":"subscribe","window":[30]}',
        '{"topic":"chats.incoming_chats","action":"subscribe","department_id":99}',
        '{"topic":"chats.incoming_chats","action":"subscribe","department_id":"1"}',
        '{"topic":"chats.incoming_chats","action":"subscribe","department_id":true}',
    ],
)  # fmt: skip
def test_nonsense_gets_a_500_frame_and_the_session_goes_on(message):
    line = Line()
    reply = line.hub.receive(line.session, message)
    assert line.out() == [UNSUPPORTED]
    assert not reply.close
    assert line.names == []
    assert len(line.subscribe(INCOMING)) == 1


def test_switch_close_on_500():
    line = Line(close_on_500=True)
    assert line.send(topic="nonsense") == [UNSUPPORTED]
    assert line.reply.close


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"unknown_topic": "ignore"}, {"topic": "chats.nonsense"}),
        ({"unknown_window": "ignore"}, {"topic": MISSED, "window": 15}),
        ({"unknown_department": "ignore"}, {"topic": INCOMING, "department_id": 99}),
    ],
)
def test_switches_unknown_topic_window_department(switches, message):
    line = Line(**switches, close_on_500=True)
    assert line.send(**message, action="subscribe") == []
    assert not line.reply.close


def test_switch_missing_window():
    line = Line(missing_window="both")
    assert [frame["content"]["data"] for frame in line.subscribe(MISSED)] == [
        {"missed_chats": {"30": int(line.world.board[Series.parse("chats.missed_chats|30|")])}},
        {"missed_chats": {"60": int(line.world.board[Series.parse("chats.missed_chats|60|")])}},
    ]
    assert line.names == ["chats.missed_chats|30|", "chats.missed_chats|60|"]


def test_switch_extra_window():
    assert len(Line(extra_window="ignore").subscribe(INCOMING, window=30)) == 1
    assert Line(extra_window="500").subscribe(INCOMING, window=30) == [UNSUPPORTED]


def test_switch_ack():
    line = Line(ack=True)
    acknowledged, snapshot = line.subscribe(INCOMING)
    assert acknowledged == {"status_code": 200, "message": {"subscribed": INCOMING}}
    assert "content" in snapshot
    assert line.unsubscribe(INCOMING) == [{"status_code": 200, "message": {"unsubscribed": INCOMING}}]


@pytest.mark.parametrize(
    ("scope", "message", "left"),
    [
        ("exact", {}, ["30|1", "60|1"]),
        ("exact", {"window": 30}, ["60|", "30|1", "60|1"]),
        ("exact", {"window": 60, "department_id": 1}, ["30|", "60|", "30|1"]),
        ("exact", {"department_id": 1}, ["30|", "60|"]),
        ("exact", {"department_id": 2}, ["30|", "60|", "30|1", "60|1"]),
        ("all", {"window": 30}, []),
        ("global", {"department_id": 1}, ["30|1", "60|1"]),
    ],
)
def test_switch_unsubscribe(scope, message, left):
    line = Line(unsubscribe=scope)
    line.subscribe(INCOMING)
    for department in (None, 1):
        for window in (30, 60):
            line.subscribe(MISSED, window=window, department_id=department)
    assert line.unsubscribe(MISSED, **message) == []
    assert line.names == ["chats.incoming_chats||", *(f"{MISSED}|{one}" for one in left)]
    pushed = line.push(*((f"{MISSED}|{one}", "77") for one in ("30|", "60|", "30|1", "60|1")))
    assert len(pushed) == len(left)


@pytest.mark.parametrize(("duplicates", "copies"), [(False, 1), (True, 2)])
def test_switch_duplicates(duplicates, copies):
    line = Line(duplicates=duplicates)
    for _ in range(2):
        assert len(line.subscribe(INCOMING)) == 1
    assert line.push(("chats.incoming_chats||", "9")) == [update({"incoming_chats": 9})] * copies
    line.unsubscribe(INCOMING)
    assert line.push(("chats.incoming_chats||", "8")) == []


def test_switch_several_keys():
    line = Line(several_keys=True)
    for topic in (INCOMING, "chats.assigned_chats", "agents.agents_online"):
        line.subscribe(topic)
    line.subscribe(INCOMING, department_id=1)
    line.subscribe(MISSED, window=30)
    line.subscribe(MISSED, window=60)
    assert line.push(
        ("chats.incoming_chats||", "1"), ("chats.assigned_chats||", "2"), ("chats.incoming_chats||1", "3"),
        ("agents.agents_online||", "4"), ("chats.missed_chats|30|", "5"), ("chats.missed_chats|60|", "6"),
    ) == [
        update({"incoming_chats": 1, "assigned_chats": 2, "missed_chats": {"30": 5, "60": 6}}),
        update({"incoming_chats": 3}, department=1),
        update({"agents_online": 4}, family="agents"),
    ]  # fmt: skip


def test_switch_both_windows():
    line = Line(both_windows=True)
    line.world.set_value(Series.parse("chats.missed_chats|60|"), "6")
    line.world.set_value(Series.parse("chats.missed_chats|30|"), "4")
    assert line.subscribe(MISSED, window=30) == [update({"missed_chats": {"30": 4, "60": 6}})]
    assert line.push(("chats.missed_chats|30|", "5")) == [update({"missed_chats": {"30": 5, "60": 6}})]
    assert line.push(("chats.missed_chats|60|", "7")) == []
    line.subscribe(INCOMING)
    assert line.push(("chats.incoming_chats||", "1")) == [update({"incoming_chats": 1})]


@pytest.mark.parametrize(
    ("cold", "expected"),
    [
        ("message", {"status_code": 200, "message": "Not Computed!"}),
        ("null", update({"missed_chats": {"30": None}})),
    ],
)
def test_switch_cold(cold, expected):
    line = Line(cold=cold)
    line.hub.cold = True
    assert line.subscribe(MISSED, window=30) == [expected]
    assert line.push(("chats.missed_chats|30|", "5")) == []
    assert not line.hub.listening
    assert line.hub.thaw() == 1
    assert line.out() == [update({"missed_chats": {"30": 5}})]


@pytest.mark.parametrize(("durations", "seconds"), [("event", 3), ("live", 12)])
def test_switch_durations(durations, seconds):
    from connector.emulator.people import Chat

    line = Line(durations=durations)
    world = line.world
    world.add_department(7, "New")
    world.floor.arrive(Chat(10**6, 7), world.now)
    world.now += 3000
    world.publish(world.floor.take_touched())
    world.now += 9000
    assert line.subscribe("chats.waiting_time_max", department_id=7) == [
        update({"waiting_time_max": seconds}, department=7)
    ]

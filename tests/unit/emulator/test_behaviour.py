"""The switches: how they are spelled, and that each one has a test that uses it."""

from pathlib import Path

import pytest

from connector.emulator.behaviour import Behaviour, change, describe, parse_switches
from connector.errors import ConfigError


def test_text_becomes_what_the_switch_needs():
    made = parse_switches(
        [
            "snapshot=off",
            "ack=1",
            "unknown_topic=ignore",
            "negatives=0.25",
            "ping_interval=2",
            "close_code=4001",
            "retry_after=False",
        ]
    )
    assert (made.snapshot, made.ack, made.retry_after) == (False, True, False)
    assert (made.unknown_topic, made.negatives, made.ping_interval, made.close_code) == ("ignore", 0.25, 2.0, 4001)
    assert parse_switches([]) == Behaviour()


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("snapshot", "switch 'snapshot': write name=value, for instance snapshot=off"),
        ("snapsot=off", "switch 'snapsot' does not exist; did you mean 'snapshot'?"),
        ("zzz=off", "switch 'zzz' does not exist"),
        ("snapshot=maybe", "switch snapshot=maybe: expected on or off"),
        ("cold=null!", "switch cold=null!: expected message or null"),
        ("close_code=1.5", "switch close_code=1.5: expected a whole number"),
        ("max_age=soon", "switch max_age=soon: expected a number"),
        ("max_age=-1", "switch max_age=-1: expected a number"),
    ],
)
def test_errors_are_one_line_with_the_remedy(pair, message):
    with pytest.raises(ConfigError) as raised:
        parse_switches([pair])
    assert str(raised.value) == message


def test_a_wrong_change_changes_nothing():
    behaviour = Behaviour()
    with pytest.raises(ConfigError):
        change(behaviour, {"ack": True, "snapshot": "perhaps"})
    assert behaviour == Behaviour()
    change(behaviour, {"ack": True, "max_age": 3})
    assert (behaviour.ack, behaviour.max_age) == (True, 3.0)


def test_every_switch_is_described():
    rows = {name: (default, meaning) for name, default, meaning in describe()}
    assert set(rows) == set(vars(Behaviour()))
    assert rows["unsubscribe"][0] == "exact"
    assert rows["unsubscribe"][1].endswith("(exact | all | global)")


def test_every_switch_has_a_test_that_sets_it():
    tests = Path(__file__).parents[2]
    paths = [*Path(__file__).parent.glob("*.py"), tests / "integration" / "test_emulator.py"]
    sources = "".join(path.read_text() for path in paths if path != Path(__file__))
    missing = [name for name in vars(Behaviour()) if f"{name}=" not in sources and f'"{name}"' not in sources]
    assert missing == []

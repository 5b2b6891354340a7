"""Names in Kafka from templates."""

import pytest

from connector.domain.model import Series
from connector.domain.topics import PLACES, Topics, check_name, check_template

CHATS = Series("chats", "missed_chats", 30, 5)
AGENTS = Series("agents", "agents_online")


def test_defaults():
    topics = Topics(account="acme")
    assert topics.metrics(CHATS) == "zendesk.chat.metrics"
    assert topics.latest == "zendesk.chat.latest"
    assert topics.gaps == "zendesk.chat.gaps"
    assert topics.dead_letters == "zendesk.chat.dead-letters"
    assert topics.heartbeats == "zendesk.chat.acme.heartbeats"
    assert topics.offsets == "zendesk.chat.acme.offsets"
    assert topics.control == "zendesk.chat.acme.control"
    assert topics.group == "zendesk.chat.acme"
    assert topics.transactional_id(2) == "zendesk.chat.acme.2"
    topics.check()


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{prefix}.{family}", ("p.agents", "p.chats")),
        ("{prefix}.{account}.{department}", ("p.acme.5", "p.acme.all")),
        ("one", ("one",)),
    ],
)
def test_metrics_topics(template, expected):
    topics = Topics(account="acme", prefix="p", metrics=template)
    assert topics.metrics_all([CHATS, AGENTS, CHATS]) == expected


def test_latest_switched_off():
    topics = Topics(account="acme", latest=None)
    assert topics.latest is None
    topics.check()


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ä", "a" * 250, "a/b"])
def test_names_that_kafka_refuses(name):
    with pytest.raises(ValueError, match="is no topic name"):
        check_name(name)


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{metric}", r"contains \{metric\}; it may contain \{prefix\} and \{account\}"),
        ("{}", r"contains \{\}"),
        ("{prefix", "unbalanced braces"),
        ("{prefix.__class__}", "contains"),
    ],
)
def test_templates_that_are_refused(template, what):
    with pytest.raises(ValueError, match=what):
        check_template(template, PLACES["gaps"])


def test_template_without_places():
    check_template("fixed", PLACES["gaps"])

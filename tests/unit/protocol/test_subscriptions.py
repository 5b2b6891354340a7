"""Which messages a change of subscriptions leads to."""

import json

import pytest

from connector.domain.model import Series
from connector.protocol.subscriptions import Subscriptions

INCOMING = Series("chats", "incoming_chats")
INCOMING_5 = Series("chats", "incoming_chats", None, 5)
MISSED_30 = Series("chats", "missed_chats", 30)
MISSED_60 = Series("chats", "missed_chats", 60)
MISSED_30_5 = Series("chats", "missed_chats", 30, 5)


def drain(subscriptions):
    """Everything that is left to send, as ("+" or "-", series)."""
    sent = []
    while not subscriptions.settled:
        sent += [read(message) for message in subscriptions.next_messages()]
    return sent


def read(text):
    request = json.loads(text)
    series = Series(*request["topic"].split("."), request.get("window"), request.get("department_id"))
    return {"subscribe": "+", "unsubscribe": "-"}[request["action"]], series


def settled(*series, exact=False):
    subscriptions = Subscriptions(series, exact=exact)
    drain(subscriptions)
    return subscriptions


def test_each_series_is_subscribed_once_in_the_order_given():
    subscriptions = Subscriptions([MISSED_60, INCOMING, MISSED_30, INCOMING], exact=False)
    assert drain(subscriptions) == [("+", MISSED_60), ("+", INCOMING), ("+", MISSED_30)]
    assert list(subscriptions.held) == [MISSED_60, INCOMING, MISSED_30]
    subscriptions.add([INCOMING])
    assert subscriptions.settled


def test_the_first_object_of_a_series_stays():
    subscriptions = Subscriptions([INCOMING], exact=False)
    subscriptions.add([Series("chats", "incoming_chats")])
    assert next(iter(subscriptions.wanted.values())) is INCOMING


def test_what_was_not_sent_yet_is_forgotten():
    subscriptions = Subscriptions([INCOMING, MISSED_30], exact=False)
    subscriptions.remove([INCOMING])
    assert drain(subscriptions) == [("+", MISSED_30)]


def test_removing_what_is_not_wanted_changes_nothing():
    subscriptions = settled(INCOMING)
    subscriptions.remove([MISSED_30])
    assert subscriptions.settled
    assert list(subscriptions.wanted.values()) == [INCOMING]


@pytest.mark.parametrize("exact", [False, True])
def test_the_only_variant_is_unsubscribed(exact):
    subscriptions = settled(INCOMING, MISSED_30, exact=exact)
    subscriptions.remove([INCOMING])
    assert drain(subscriptions) == [("-", INCOMING)]
    assert list(subscriptions.held) == [MISSED_30]


def test_polite_keeps_a_variant_while_another_is_wanted():
    subscriptions = settled(MISSED_30, MISSED_60)
    subscriptions.remove([MISSED_30])
    assert subscriptions.settled
    assert list(subscriptions.held) == [MISSED_30, MISSED_60]
    subscriptions.add([MISSED_30])
    assert subscriptions.settled


def test_polite_lets_all_variants_go_with_the_last_one():
    subscriptions = settled(MISSED_30, MISSED_60, MISSED_30_5, INCOMING_5)
    subscriptions.remove([MISSED_30, MISSED_30_5])
    assert subscriptions.settled
    subscriptions.remove([MISSED_60])
    assert [read(message) for message in subscriptions.next_messages()] == [
        ("-", MISSED_30),
        ("-", MISSED_60),
        ("-", MISSED_30_5),
    ]
    assert subscriptions.settled
    subscriptions.add([MISSED_60])
    assert drain(subscriptions) == [("+", MISSED_60)]


def test_polite_calls_an_unsubscribe_off_when_a_variant_is_wanted_again():
    subscriptions = settled(MISSED_30, MISSED_60)
    subscriptions.remove([MISSED_30, MISSED_60])
    assert not subscriptions.settled
    subscriptions.add([MISSED_30_5])
    assert drain(subscriptions) == [("+", MISSED_30_5)]
    assert list(subscriptions.held) == [MISSED_30, MISSED_60, MISSED_30_5]


def test_exact_sends_at_once():
    subscriptions = settled(MISSED_30, MISSED_60, exact=True)
    subscriptions.remove([MISSED_30])
    subscriptions.add([MISSED_30_5])
    assert drain(subscriptions) == [("-", MISSED_30), ("+", MISSED_30_5)]
    subscriptions.add([MISSED_30])
    assert drain(subscriptions) == [("+", MISSED_30)]


def test_exact_calls_an_unsubscribe_off_when_the_series_is_wanted_again():
    subscriptions = settled(MISSED_30, MISSED_60, exact=True)
    subscriptions.remove([MISSED_30])
    subscriptions.add([MISSED_30])
    assert subscriptions.settled

"""Our session against the emulator's, under every switch that concerns one connection."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import Pair

from connector.domain.events import Noticed, Rejected, Updated
from connector.domain.metrics import METRICS
from connector.domain.model import Series
from connector.emulator import frames
from connector.emulator.behaviour import Behaviour
from connector.emulator.session import Session as Source
from connector.protocol.session import Session, State

DEPARTMENTS = (None, 5, 13388700431505)
EVERY = [
    Series(metric.family, metric.key, window, department)
    for metric in METRICS
    for window in ((30, 60) if metric.windowed else (None,))
    for department in DEPARTMENTS
]


def join(series, *, authenticated=True, policy="polite", rate=200.0, **switches):
    """``policy``: our way to unsubscribe; the switch ``unsubscribe``: what that drops at the source."""
    source = Source(
        "s1",
        Behaviour(**switches),
        snapshot=lambda one: frames.Template(one).frame(literal(one)),
        exists=DEPARTMENTS.__contains__,
        authenticated=authenticated,
    )
    session = Session("s1", series, now=0.0, unsubscribe=policy, subscribe_rate=rate)
    return Pair(session, source, now=0.0)


def literal(series):
    return "null" if series.metric.startswith("response") else f"{EVERY.index(series)}.50"


def kinds(pair):
    return {event.kind for event in pair.events if isinstance(event, Noticed)}


@pytest.mark.parametrize(("auth_frame", "ack"), list(itertools.product([True, False], repeat=2)))
def test_every_series_is_confirmed_with_its_value(auth_frame, ack):
    pair = join(EVERY, auth_frame=auth_frame, ack=ack)
    pair.run()
    updates = [event for event in pair.events if isinstance(event, Updated)]
    assert {event.series: event.raw for event in updates} == {
        one: None if literal(one) == "null" else literal(one) for one in EVERY
    }
    assert len(updates) == len(EVERY)
    assert [event.frame for event in updates] == [
        number for number, text in enumerate(pair.heard, 1) if b"content" in text
    ]
    assert pair.session.unconfirmed == frozenset()
    assert kinds(pair) == {"authenticated" if auth_frame else "unauthenticated", *["acknowledged"] * ack}
    assert list(pair.source.subscriptions.values()) == [1] * len(EVERY)


def test_a_source_without_snapshots_leaves_everything_unconfirmed():
    pair = join(EVERY, snapshot=False)
    pair.run()
    assert pair.session.unconfirmed == set(EVERY) == set(pair.source.subscriptions)


def test_a_refused_token_ends_it():
    pair = join(EVERY, authenticated=False)
    pair.run()
    assert pair.session.state is State.CLOSED
    assert pair.session.error.reason == "auth"
    assert pair.said == []


def test_an_unknown_department_costs_nothing_but_a_notice():
    pair = join([Series("chats", "incoming_chats", None, 6), *EVERY])
    pair.run()
    assert pair.session.unconfirmed == {Series("chats", "incoming_chats", None, 6)}
    assert kinds(pair) == {"authenticated", "error"}
    assert pair.session.state is State.STREAMING


def test_several_values_in_one_frame():
    mine = [one for one in EVERY if one.family == "chats" and one.department_id == 5]
    pair = join(mine, snapshot=False)
    pair.run()
    pair.source.outbox.append(frames.combined(dict.fromkeys(mine, "1")))
    pair.exchange()
    assert {event.series for event in pair.events if isinstance(event, Updated)} == set(mine)
    assert pair.session.unconfirmed == frozenset()


def test_what_the_source_garbles_is_rejected_and_the_session_goes_on():
    pair = join(EVERY, snapshot=False)
    pair.run()
    pair.source.outbox.append(frames.data_frame("fault", b'{"status_code":200,"content"'))
    pair.exchange()
    assert [event.reason for event in pair.events if isinstance(event, Rejected)] == ["invalid_json"]
    assert pair.session.state is State.STREAMING


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["subscribe", "unsubscribe", "wait"]),
        st.lists(st.sampled_from(EVERY), max_size=4),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(
    start=st.lists(st.sampled_from(EVERY), max_size=8, unique=True),
    changes=CHANGES,
    scope=st.sampled_from(["exact", "all", "global"]),
    policy=st.sampled_from(["polite", "exact"]),
)
def test_live_changes_leave_the_source_with_what_is_wanted(start, changes, scope, policy):
    """Polite: right whatever an unsubscribe drops. Exact: right if it drops just that variant."""
    pair = join(start, policy=policy, rate=5.0, unsubscribe=scope)
    wanted = set(start)
    for action, series in changes:
        if action == "wait":
            pair.advance(pair.now + 0.2)
        elif action == "subscribe":
            pair.session.subscribe(series)
            wanted |= set(series)
        else:
            pair.session.unsubscribe(series)
            wanted -= set(series)
    pair.run()
    held = pair.source.subscriptions
    assert pair.session.subscribed == wanted
    if policy == "polite":
        assert wanted <= set(held)
    if policy == scope == "exact":
        assert set(held) == wanted
    if scope == "exact" or (policy == "polite" and scope == "all"):
        assert all(count == 1 for count in held.values())

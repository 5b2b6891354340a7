"""The states of a session: what it hears, says and refuses in each."""

import itertools

import pytest

from connector.domain.events import Noticed, Rejected, Updated
from connector.domain.model import Series
from connector.errors import Recovery, SourceUnavailable
from connector.protocol.session import TRANSITIONS, Session, Signal, State

INCOMING = Series("chats", "incoming_chats")
INCOMING_5 = Series("chats", "incoming_chats", None, 5)
MISSED_30 = Series("chats", "missed_chats", 30)
MISSED_60 = Series("chats", "missed_chats", 60)

AUTHENTICATED = b'{"status_code":200,"message":{"authenticated":true}}'
UNAUTHORIZED = b'{"status_code":401,"message":"Unable to verify the identity of the client"}'
NOT_COMPUTED = b'{"status_code":200,"message":"Not Computed!"}'
UNSUPPORTED = b'{"status_code":500,"message":"no"}'
JUNK = b"junk"


def frame(data, department="null"):
    return (
        f'{{"content":{{"topic":"chats","data":{data},"type":"update","department_id":{department}}},"status_code":200}}'
    ).encode()


DATA = frame('{"incoming_chats":2}')


def make(*series, now=100.0, **options):
    return Session("s1", series or (INCOMING, MISSED_30), now=now, **options)


def hear(session, text, wall_us=7):
    return session.receive(text, now=100.5, wall_us=wall_us)


def streaming(*series, **options):
    session = make(*series, **options)
    hear(session, AUTHENTICATED)
    return session


def closed():
    session = make()
    hear(session, UNAUTHORIZED)
    return session


# The table, written down a second time on purpose: a row that goes missing is missed.


def test_transitions():
    a, s, c = State.AUTHENTICATING, State.STREAMING, State.CLOSED
    expected = {
        (a, Signal.AUTHENTICATED): s,
        (a, Signal.UNAUTHORIZED): c,
        (a, Signal.DATA): s,
        (a, Signal.NOTICE): a,
        (a, Signal.MALFORMED): a,
        (a, Signal.DEADLINE): s,
        (s, Signal.AUTHENTICATED): s,
        (s, Signal.UNAUTHORIZED): c,
        (s, Signal.DATA): s,
        (s, Signal.NOTICE): s,
        (s, Signal.MALFORMED): s,
    }
    assert expected == TRANSITIONS


@pytest.mark.parametrize(
    ("text", "first", "then"),
    [
        (AUTHENTICATED, State.STREAMING, State.STREAMING),
        (UNAUTHORIZED, State.CLOSED, State.CLOSED),
        (DATA, State.STREAMING, State.STREAMING),
        (NOT_COMPUTED, State.AUTHENTICATING, State.STREAMING),
        (UNSUPPORTED, State.AUTHENTICATING, State.STREAMING),
        (JUNK, State.AUTHENTICATING, State.STREAMING),
    ],
)
def test_frames_move_the_session_by_the_table(text, first, then):
    session = make()
    hear(session, text)
    assert session.state is first
    session = streaming()
    hear(session, text)
    assert session.state is then


@pytest.mark.parametrize(
    ("state", "signal"), [pair for pair in itertools.product(State, Signal) if pair not in TRANSITIONS]
)
def test_a_pair_outside_the_table_closes_the_session(state, signal):
    session = make()
    session.state = state
    session._move(signal)
    assert session.state is State.CLOSED
    assert isinstance(session.error, SourceUnavailable)
    assert session.error.reason == "disconnect"
    assert str(session.error) == f"source: {signal.value} while {state.value} is out of order"


def test_a_closed_session_hears_and_says_nothing():
    session = closed()
    error = session.error
    for text in (DATA, AUTHENTICATED, UNAUTHORIZED, JUNK):
        assert hear(session, text, wall_us=9) == []
    session.subscribe([MISSED_60])
    session.unsubscribe([INCOMING])
    assert session.handle_timer(1e9, 9) == []
    assert session.messages_to_send(1e9) == []
    assert session.next_timer() is None
    assert (session.frames, session.last_frame_us, session.error) == (1, 7, error)


# Authentication


def test_nothing_is_said_before_authentication():
    session = make()
    assert session.state is State.AUTHENTICATING
    assert session.messages_to_send(101.9) == []
    assert session.next_timer() == 102.0
    assert session.subscribed == frozenset()
    assert hear(session, AUTHENTICATED) == [Noticed("authenticated", 200, '{"authenticated":true}', "s1", 1, 7)]
    assert session.next_timer() <= 100.5
    assert session.messages_to_send(100.5) == [
        '{"topic":"chats.incoming_chats","action":"subscribe"}',
        '{"topic":"chats.missed_chats","action":"subscribe","window":30}',
    ]
    assert session.next_timer() is None
    assert session.subscribed == {INCOMING, MISSED_30}


def test_data_before_the_authentication_frame_is_taken():
    session = make()
    assert hear(session, DATA) == [Updated(INCOMING, 2.0, "2", "s1", 1, 7)]
    assert len(session.messages_to_send(100.5)) == 2


def test_without_an_authentication_frame_the_session_goes_on_at_the_deadline():
    session = make(auth_timeout=3.0)
    assert session.next_timer() == 103.0
    assert session.handle_timer(102.999, 8) == []
    (event,) = session.handle_timer(103.0, 9)
    assert (event.kind, event.status, event.frame, event.at_us) == ("unauthenticated", 0, 0, 9)
    assert session.state is State.STREAMING
    assert len(session.messages_to_send(103.0)) == 2
    assert session.handle_timer(200.0, 10) == []
    assert [event.kind for event in hear(session, AUTHENTICATED)] == ["authenticated"]


@pytest.mark.parametrize("session", [make(), streaming()], ids=["at once", "later"])
def test_a_refused_token_closes_the_session(session):
    (event,) = hear(session, UNAUTHORIZED)
    assert (event.kind, event.status) == ("refused", 401)
    assert isinstance(session.error, SourceUnavailable)
    assert session.error.reason == "auth"
    assert session.error.recovery is Recovery.RETRY
    assert "source.token_file" in str(session.error)


def test_other_refusals_do_not_close_it():
    session = streaming()
    for status in (400, 403, 404, 429, 500):
        (event,) = hear(session, b'{"status_code":%d,"message":"no"}' % status)
        assert (event.kind, event.status) == ("error" if status == 500 else "refused", status)
    assert session.error is None


# Events


def test_frames_are_numbered_whatever_they_carry():
    session = make()
    for number, text in enumerate((JUNK, AUTHENTICATED, DATA, UNSUPPORTED), 1):
        (event,) = hear(session, text, wall_us=number * 10)
        assert event.frame == session.frames == number
        assert session.last_frame_us == number * 10


def test_one_update_for_each_value():
    session = streaming(INCOMING, MISSED_30, MISSED_60)
    events = hear(session, frame('{"missed_chats":{"60":1,"30":null},"incoming_chats":-1}'))
    assert events == [
        Updated(MISSED_60, 1.0, "1", "s1", 2, 7),
        Updated(MISSED_30, None, None, "s1", 2, 7),
        Updated(INCOMING, -1.0, "-1", "s1", 2, 7),
    ]


def test_updates_carry_the_series_they_were_asked_with():
    mine = Series("chats", "incoming_chats")
    (event,) = hear(streaming(mine), DATA)
    assert event.series is mine


def test_values_that_nobody_asked_for_are_noticed():
    session = streaming(INCOMING, MISSED_30)
    events = hear(session, frame('{"missed_chats":{"30":1,"60":2}}'))
    assert events == [
        Updated(MISSED_30, 1.0, "1", "s1", 2, 7),
        Noticed("unwanted", 200, "chats.missed_chats|60|", "s1", 2, 7),
    ]
    assert [event.kind for event in hear(session, frame('{"incoming_chats":2}', "5"))] == ["unwanted"]


def test_one_rejection_for_each_frame_with_all_series_it_cost():
    session = streaming(INCOMING, MISSED_30, MISSED_60)
    text = frame('{"incoming_chats":true,"active_chats":"x","nonsense":1,"missed_chats":{"30":5,"60":1e400}}')
    updated, rejected = hear(session, text)
    assert updated == Updated(MISSED_30, 5.0, "5", "s1", 2, 7)
    message = "chats.incoming_chats is a boolean, not a number (and 3 more)"
    assert rejected == Rejected("wrong_type", message, text, (INCOMING, MISSED_60), "s1", 2, 7, "decode")


def test_a_rejected_frame_costs_the_series_it_names():
    text = frame('{"incoming_chats":NaN,"active_chats":1}')
    assert hear(streaming(INCOMING, MISSED_30), text) == [
        Rejected("not_finite", "NaN is not JSON", text, (INCOMING,), "s1", 2, 7)
    ]


def test_unknown_fields_are_noticed_and_the_values_taken():
    session = streaming()
    events = hear(session, DATA[:-1] + b',"sent_at":1,"id":2}')
    assert events == [
        Updated(INCOMING, 2.0, "2", "s1", 2, 7),
        Noticed("unknown_field", 200, "sent_at, id", "s1", 2, 7),
    ]
    kinds = [event.kind for event in hear(session, NOT_COMPUTED[:-1] + b',"id":2}')]
    assert kinds == ["unknown_field", "not_computed"]


def test_the_text_of_unknown_fields_is_short():
    fields = "".join(f',"field_{number}":1' for number in range(100))
    (_, event) = hear(streaming(), DATA[:-1] + fields.encode() + b"}")
    assert len(event.text) == 80


def test_unconfirmed_series_are_those_without_a_value():
    session = streaming(INCOMING, MISSED_30)
    assert (session.active, session.unconfirmed) == (set(), {INCOMING, MISSED_30})
    hear(session, DATA)
    assert (session.active, session.unconfirmed) == ({INCOMING}, {MISSED_30})
    hear(session, frame('{"missed_chats":{"30":true}}'))
    assert session.unconfirmed == {MISSED_30}
    session.unsubscribe(one for one in (INCOMING, MISSED_30))
    assert (session.active, session.unconfirmed) == (set(), frozenset())


# Sending


def test_subscribing_at_the_pace():
    many = [Series("chats", "incoming_chats", None, number) for number in range(100)]
    session = streaming(*many, subscribe_rate=100.0)
    assert len(session.messages_to_send(100.5)) == 10
    now, count = 100.5, 10
    while (timer := session.next_timer()) is not None:
        assert timer > now
        assert session.messages_to_send((now + timer) / 2) == []
        now = timer
        assert len(session.messages_to_send(now)) == 1
        count += 1
    assert count == 100
    assert 101.39 < now < 101.41


def test_slow_paces_send_one_at_a_time():
    session = streaming(subscribe_rate=0.5)
    assert len(session.messages_to_send(100.5)) == 1
    timer = session.next_timer()
    assert timer == pytest.approx(102.5, abs=0.01)
    assert len(session.messages_to_send(timer)) == 1


def test_live_changes():
    session = streaming(INCOMING, MISSED_30)
    session.messages_to_send(100.5)
    session.subscribe([INCOMING_5, INCOMING])
    assert session.subscribed == {INCOMING, MISSED_30}
    assert session.messages_to_send(100.6) == [
        '{"topic":"chats.incoming_chats","action":"subscribe","department_id":5}'
    ]
    session.unsubscribe([INCOMING])
    assert session.messages_to_send(100.7) == []
    assert [event.kind for event in hear(session, DATA)] == ["unwanted"]
    assert session.subscribed == {INCOMING_5, MISSED_30}
    session.subscribe([INCOMING])
    assert session.messages_to_send(100.8) == []
    assert [type(event) for event in hear(session, DATA)] == [Updated]
    session.unsubscribe(series for series in [MISSED_30])
    assert session.messages_to_send(100.9) == ['{"topic":"chats.missed_chats","action":"unsubscribe","window":30}']


def test_exact_unsubscribing():
    session = streaming(INCOMING, INCOMING_5, unsubscribe="exact")
    session.messages_to_send(100.5)
    session.unsubscribe([INCOMING_5])
    assert session.messages_to_send(100.6) == [
        '{"topic":"chats.incoming_chats","action":"unsubscribe","department_id":5}'
    ]


def test_changes_before_authentication_need_no_unsubscribe():
    session = make(INCOMING, MISSED_30)
    session.unsubscribe([INCOMING])
    session.subscribe([MISSED_60])
    hear(session, AUTHENTICATED)
    assert session.messages_to_send(100.5) == [
        '{"topic":"chats.missed_chats","action":"subscribe","window":30}',
        '{"topic":"chats.missed_chats","action":"subscribe","window":60}',
    ]


def test_what_is_no_longer_wanted_stays_held_until_it_is_unsubscribed_at_the_source():
    session = streaming(MISSED_30, MISSED_60)
    session.messages_to_send(200.0)
    session.unsubscribe([MISSED_30])
    session.messages_to_send(201.0)
    assert (session.held, session.subscribed) == ({MISSED_30, MISSED_60}, {MISSED_60})

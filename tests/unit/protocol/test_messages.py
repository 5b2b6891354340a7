"""What each kind of frame turns out to be, and the messages that we send."""

import json
from pathlib import Path

import pytest

from connector.domain.model import Series
from connector.protocol.messages import decode, subscribe, unsubscribe
from connector.protocol.verdicts import REASONS, Malformed, Notice, Update

SAMPLES = Path(__file__).parents[2] / "samples"

INCOMING = ("chats", "incoming_chats", None, None)
MISSED_30 = ("chats", "missed_chats", 30, None)
MISSED_60 = ("chats", "missed_chats", 60, None)


def frame(data, *, topic='"chats"', kind='"update"', department="null", status="200", more="", inner=""):
    content = f'{{"topic":{topic},"data":{data},"type":{kind},"department_id":{department}{inner}}}'
    return f'{{"content":{content},"status_code":{status}{more}}}'.encode()


def value(literal, **others):
    return frame(f'{{"incoming_chats":{literal}}}', **others)


def message(text, status=200):
    return f'{{"status_code":{status},"message":{text}}}'.encode()


# Sending


@pytest.mark.parametrize(
    ("series", "parts"),
    [
        (Series("chats", "incoming_chats"), '"chats.incoming_chats"'),
        (Series("chats", "missed_chats", 30), '"chats.missed_chats" "window":30'),
        (Series("agents", "agents_online", None, 5), '"agents.agents_online" "department_id":5'),
        (Series("chats", "missed_chats", 30, 0), '"chats.missed_chats" "window":30 "department_id":0'),
        (
            Series("chats", "satisfaction_bad", 60, 13388700431505),
            '"chats.satisfaction_bad" "window":60 "department_id":13388700431505',
        ),
    ],
)
def test_requests(series, parts):
    topic, *others = parts.split()
    for action, request in (("subscribe", subscribe(series)), ("unsubscribe", unsubscribe(series))):
        assert request == "{" + ",".join([f'"topic":{topic}', f'"action":"{action}"', *others]) + "}"


# What was seen or is documented

EXPECTED = {
    "chats-incoming": Update(((INCOMING, 2.0, "2"),)),
    "chats-assigned": Update(((("chats", "assigned_chats", None, None), 0.0, "0"),)),
    "chats-waiting-time": Update(((("chats", "waiting_time_avg", None, None), 12.0, "12"),)),
    "chats-missed-30": Update(((MISSED_30, 1.0, "1"),)),
    "agents-online": Update(((("agents", "agents_online", None, 5), 26.0, "26"),)),
    "agents-away": Update(((("agents", "agents_away", None, 5), 0.0, "0"),)),
    "agents-invisible": Update(((("agents", "agents_invisible", None, 5), 1.0, "1"),)),
    "authenticated": Notice("authenticated", 200, '{"authenticated":true}'),
    "unauthorized": Notice("refused", 401, "Unable to verify the identity of the client"),
    "not-computed": Notice("not_computed", 200, "Not Computed!"),
    "all-chats": Update(
        (
            (MISSED_60, 1.0, "1"),
            (MISSED_30, 1.0, "1"),
            (("chats", "chat_duration_max", None, None), 325.0, "325"),
            (("chats", "satisfaction_bad", 60, None), 0.0, "0"),
            (("chats", "satisfaction_bad", 30, None), 0.0, "0"),
            (("chats", "active_chats", None, None), 1.0, "1"),
            (("chats", "satisfaction_good", 60, None), 0.0, "0"),
            (("chats", "satisfaction_good", 30, None), 0.0, "0"),
            (INCOMING, 0.0, "0"),
            (("chats", "assigned_chats", None, None), 0.0, "0"),
            (("chats", "chat_duration_avg", None, None), 325.0, "325"),
            (("chats", "waiting_time_avg", None, None), None, None),
            (("chats", "response_time_avg", None, None), None, None),
            (("chats", "waiting_time_max", None, None), None, None),
            (("chats", "response_time_max", None, None), None, None),
        )
    ),
}


def test_every_sample_has_an_expectation():
    assert {path.stem for path in SAMPLES.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_samples(name):
    sample = json.loads((SAMPLES / f"{name}.json").read_text())
    assert sample["from"].startswith("https://")
    assert decode(sample["frame"].encode()) == EXPECTED[name]


# Values received


@pytest.mark.parametrize(
    ("literal", "number"),
    [
        ("0", 0.0),
        ("-0", -0.0),
        ("-1", -1.0),
        ("12.50", 12.5),
        ("1e2", 100.0),
        ("1E+2", 100.0),
        ("1e-400", 0.0),
        ("9007199254740993", 9007199254740992.0),
        ("9" * 64, 1e64),
    ],
)
@pytest.mark.parametrize("padding", ["", " " * 600])
def test_the_literal_is_kept_as_received(literal, number, padding):
    decoded = decode(value(padding + literal + padding))
    assert decoded == Update(((INCOMING, number, literal),))
    assert str(decoded.values[0][1]) == str(number)
    assert type(decoded.values[0][2]) is str


@pytest.mark.parametrize("padding", ["", " " * 600])
def test_null_is_a_value(padding):
    assert decode(value("null" + padding)) == Update(((INCOMING, None, None),))
    assert decode(frame(f'{{"missed_chats":{{"30":null{padding}}}}}')) == Update(((MISSED_30, None, None),))


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ('{"missed_chats":{"30":1}}', ((MISSED_30, 1.0, "1"),)),
        ('{"missed_chats":{ "60" :\t1.5 }}', ((MISSED_60, 1.5, "1.5"),)),
        ('{"missed_chats":{"60":1,"30":2}}', ((MISSED_60, 1.0, "1"), (MISSED_30, 2.0, "2"))),
        ('{"incoming_chats":1,"missed_chats":{"30":2}}', ((INCOMING, 1.0, "1"), (MISSED_30, 2.0, "2"))),
        ('{"incoming\\u005fchats":1}', ((INCOMING, 1.0, "1"),)),
    ],
)
def test_windows_and_several_values(data, values):
    assert decode(frame(data)) == Update(values)


@pytest.mark.parametrize("department", [0, 5, 13388700431505, 2**63 - 1])
def test_departments(department):
    (one,) = decode(value("1", department=str(department))).values
    assert one[0] == ("chats", "incoming_chats", None, department)


def test_the_order_of_fields_is_free():
    text = (
        b'{"status_code":200,"content":{"department_id":5,"type":"update","data":{"agents_away":1},"topic":"agents"}}'
    )
    assert decode(text) == Update(((("agents", "agents_away", None, 5), 1.0, "1"),))


# What is refused


def test_each_reason_is_tested():
    tested = {reason for reason, *_ in FRAMES} | {reason for reason, *_ in VALUES}
    assert tested == set(REASONS)


FRAMES = [
    ("invalid_utf8", b"\xff", ()),
    ("invalid_utf8", value('"x"').replace(b"x", b"\xff"), ()),
    ("invalid_utf8", b'{"a":"\xed\xa0\x80"}', ()),
    ("invalid_json", b"", ()),
    ("invalid_json", b" ", ()),
    ("invalid_json", b"\xef\xbb\xbf" + value("1"), ()),
    ("invalid_json", value("1") + b"x", ()),
    ("invalid_json", value("1") + value("1"), ()),
    ("invalid_json", value("1")[:-1], ()),
    ("invalid_json", value("01"), ()),
    ("invalid_json", value("1."), ()),
    ("invalid_json", value("+1"), ()),
    ("invalid_json", value("1,"), ()),
    ("invalid_json", value("'1'"), ()),
    ("invalid_json", value("1", more=',"x":"\n"'), ()),
    ("invalid_json", value("1", department="05"), ()),
    ("not_finite", value("NaN"), (INCOMING,)),
    ("not_finite", value("Infinity"), (INCOMING,)),
    ("not_finite", value("-Infinity"), (INCOMING,)),
    ("not_finite", value("1", more=',"x":NaN'), (INCOMING,)),
    ("duplicate_key", frame('{"incoming_chats":1,"incoming_chats":2}'), (INCOMING,)),
    ("duplicate_key", frame('{"incoming_chats":1,"incoming\\u005fchats":1}'), (INCOMING,)),
    ("duplicate_key", frame('{"missed_chats":{"30":1,"30":1}}'), (MISSED_30, MISSED_60)),
    ("duplicate_key", value("1", more=',"status_code":200'), (INCOMING,)),
    ("duplicate_key", value("1", more=',"x":{"y":1,"y":1}'), (INCOMING,)),
    ("duplicate_key", value("1", inner=',"topic":"agents"'), ()),
    ("duplicate_key", value("1", inner=',"department_id":5'), ()),
    ("duplicate_key", value("1", inner=',"data":{"active_chats":1}'), ()),
    ("duplicate_key", value("1", more=',"content":null'), ()),
    ("duplicate_key", b'[{"a":1,"a":1}]', ()),
    ("duplicate_key", frame('{"no_such_metric":1,"no_such_metric":1}'), ()),
    ("lone_surrogate", value("1", more=',"x":"\\ud800"'), (INCOMING,)),
    ("lone_surrogate", value("1", topic='"\\udc00"'), ()),
    ("lone_surrogate", frame('{"\\ud800":1}'), ()),
    ("too_deep", value("[" * 100_000), ()),
    ("too_deep", b"[" * 1_000_000, ()),
    ("too_deep", b'{"a":' * 100_000, ()),
    ("too_deep", value("1", more=',"x":' + "[" * 16 + "]" * 16), ()),
    ("missing_field", b"{}", ()),
    ("missing_field", b'{"status_code":200}', ()),
    ("missing_field", value("1").replace(b"status_code", b"code"), ()),
    ("missing_field", value("1").replace(b'"topic"', b'"subject"'), ()),
    ("missing_field", value("1").replace(b'"type"', b'"kind"'), ()),
    ("missing_field", value("1").replace(b'"data"', b'"date"'), ()),
    ("missing_field", value("1").replace(b'"department_id"', b'"department"'), ()),
    ("wrong_type", b"[]", ()),
    ("wrong_type", b"1", ()),
    ("wrong_type", b"null", ()),
    ("wrong_type", b'"content"', ()),
    ("wrong_type", value("1", status='"200"'), ()),
    ("wrong_type", value("1", status="true"), ()),
    ("wrong_type", value("1", status="null"), ()),
    ("wrong_type", value("1", topic="5"), ()),
    ("wrong_type", value("1", topic="null"), ()),
    ("wrong_type", value("1", kind='["update"]'), ()),
    ("wrong_type", value("1", department='"5"'), ()),
    ("wrong_type", value("1", department="true"), ()),
    ("wrong_type", value("1", department="{}"), ()),
    ("wrong_type", frame("[]"), ()),
    ("wrong_type", frame("1"), ()),
    ("wrong_type", b'{"status_code":200,"content":null}', ()),
    ("wrong_type", b'{"status_code":200,"content":"x","message":"x"}', ()),
    ("bad_status", value("1", status="201"), ()),
    ("bad_status", value("1", status="200.0"), ()),
    ("bad_status", value("1", status="2e2"), ()),
    ("bad_status", value("1", status="-200"), ()),
    ("bad_status", value("1", status="600"), ()),
    ("bad_status", value("1", status="9" * 5000), ()),
    ("bad_department", value("1", department="-1"), ()),
    ("bad_department", value("1", department="5.0"), ()),
    ("bad_department", value("1", department="1e1"), ()),
    ("bad_department", value("1", department=str(2**63)), ()),
    ("bad_department", value("1", department="9" * 5000), ()),
    ("unknown_topic", value("1", topic='"visitors"'), ()),
    ("unknown_topic", value("1", topic='"chats.incoming_chats"'), ()),
    ("no_value", frame("{}"), ()),
]


@pytest.mark.parametrize(("reason", "text", "lost"), FRAMES)
def test_refused_frames(reason, text, lost):
    decoded = decode(text)
    assert (type(decoded), decoded.reason, decoded.lost) == (Malformed, reason, lost)
    assert decoded.message.isprintable()
    assert len(decoded.message) < 120


VALUES = [
    ("wrong_type", '{"incoming_chats":true}', (INCOMING,)),
    ("wrong_type", '{"incoming_chats":"1"}', (INCOMING,)),
    ("wrong_type", '{"incoming_chats":[1]}', (INCOMING,)),
    ("wrong_type", '{"incoming_chats":{"30":1}}', (INCOMING,)),
    ("wrong_type", '{"missed_chats":1}', (MISSED_30, MISSED_60)),
    ("wrong_type", '{"missed_chats":null}', (MISSED_30, MISSED_60)),
    ("wrong_type", '{"missed_chats":[]}', (MISSED_30, MISSED_60)),
    ("wrong_type", '{"missed_chats":{"30":false}}', (MISSED_30,)),
    ("no_value", '{"missed_chats":{}}', (MISSED_30, MISSED_60)),
    ("number_too_long", '{"incoming_chats":%s}' % ("9" * 65), (INCOMING,)),
    ("number_too_long", '{"incoming_chats":0.%s}' % ("0" * 1000), (INCOMING,)),
    ("number_too_long", '{"missed_chats":{"60":%s}}' % ("1" * 5000), (MISSED_60,)),
    ("number_out_of_range", '{"incoming_chats":1e400}', (INCOMING,)),
    ("number_out_of_range", '{"missed_chats":{"30":-1e309}}', (MISSED_30,)),
    ("unknown_metric", '{"agents_online":1}', ()),
    ("unknown_metric", '{"":1}', ()),
    ("unknown_metric", '{"%s":1}' % ("é\\n" * 500), ()),
    ("unknown_window", '{"missed_chats":{"15":1}}', ()),
    ("unknown_window", '{"missed_chats":{"030":1}}', ()),
    ("unknown_window", '{"missed_chats":{"x\\u0000":{}}}', ()),
]


@pytest.mark.parametrize(("reason", "data", "lost"), VALUES)
def test_refused_values(reason, data, lost):
    decoded = decode(frame(data))
    assert (type(decoded), decoded.values) == (Update, ())
    (malformed,) = decoded.malformed
    assert (malformed.reason, malformed.lost) == (reason, lost)
    assert malformed.message.isprintable()
    assert len(malformed.message) < 120


def test_good_values_of_a_frame_with_bad_ones():
    data = '{"incoming_chats":1,"active_chats":"x","nonsense":2,"missed_chats":{"30":3,"60":[],"15":4}}'
    decoded = decode(frame(data, department="5"))
    assert decoded.values == (
        (("chats", "incoming_chats", None, 5), 1.0, "1"),
        (("chats", "missed_chats", 30, 5), 3.0, "3"),
    )
    assert [one.reason for one in decoded.malformed] == ["wrong_type", "unknown_metric", "unknown_window", "wrong_type"]
    assert decoded.malformed[3].lost == (("chats", "missed_chats", 60, 5),)


# What is received and no value


@pytest.mark.parametrize(
    ("text", "kind", "status", "shown"),
    [
        (message('{"authenticated":true,"more":1}'), "authenticated", 200, '{"authenticated":true,"more":"1"}'),
        (message('{"authenticated":false}'), "acknowledged", 200, '{"authenticated":false}'),
        (message('{"authenticated":"true"}'), "acknowledged", 200, '{"authenticated":"true"}'),
        (message('"Not Computed!"'), "not_computed", 200, "Not Computed!"),
        (message('"subscribed"'), "acknowledged", 200, "subscribed"),
        (message("null"), "acknowledged", 200, "null"),
        (message('"a\\nb\\u0000c"'), "acknowledged", 200, "a?b?c"),
        (message('"%s"' % ("x" * 200)), "acknowledged", 200, "x" * 80),
        (b'{"status_code":200,"message":"x","content":null}', "acknowledged", 200, "x"),
        (message('"no"', 400), "refused", 400, "no"),
        (message('"no"', 403), "refused", 403, "no"),
        (message('"Unsupported message"', 500), "error", 500, "Unsupported message"),
        (message("[1]", 599), "error", 599, '["1"]'),
        (b'{"status_code":500}', "error", 500, "null"),
        (value("1", status="500"), "error", 500, "null"),
        (value("1", kind='"get_metric"'), "unknown_type", 200, "get_metric"),
        (b'{"status_code":200,"content":{"type":"ack"}}', "unknown_type", 200, "ack"),
    ],
)
def test_notices(text, kind, status, shown):
    assert decode(text) == Notice(kind, status, shown)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        (value("1", more=',"sent_at":"12:00"'), ("sent_at",)),
        (value("1", more=',"message":"hello"'), ("message",)),
        (value("1", inner=',"status_code":200'), ("content.status_code",)),
        (value("1", more=',"a\\n":{}', inner=',"b":1'), ("a?", "content.b")),
        (b'{"status_code":200,"message":"x","id":1}', ("id",)),
        (b'{"status_code":500,"id":1}', ("id",)),
        (value("1", kind='"ack"', inner=',"id":1'), ("content.id",)),
    ],
)
def test_unknown_fields_are_named(text, unknown):
    assert decode(text).unknown == unknown


def test_a_frame_with_unknown_fields_is_still_an_update():
    assert decode(value("1", more=',"a":[{"b":"c:d"}]')).values == ((INCOMING, 1.0, "1"),)


def test_nesting_up_to_the_limit_is_fine():
    assert decode(value("1", more=',"x":' + "[" * 15 + '"[[[{{\\"["' + "]" * 15)).unknown == ("x",)


def test_a_long_unterminated_text_takes_linear_time():
    assert decode(b'"' + b'\\"' * 500_000).reason == "invalid_json"

"""Strict JSON, and what is left of a text that is not."""

import pytest

from connector.protocol.strict_json import NotStrictError, Number, parse


def test_numbers_stay_literals():
    tree = parse(b'{"a":[1,-0,12.50,1e2,true,null,"1"]}')
    assert tree == {"a": ["1", "-0", "12.50", "1e2", True, None, "1"]}
    assert [type(value) is Number for value in tree["a"]] == [True, True, True, True, False, False, False]


def test_surrogate_pairs_are_fine():
    assert parse(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("text", "reason", "tree", "repeated"),
    [
        (b"\xff", "invalid_utf8", None, set()),
        (b"nope", "invalid_json", None, set()),
        (b"[" * 17 + b"]" * 17, "too_deep", None, set()),
        (b'{"a":1,"b":2,"a":3}', "duplicate_key", {"a": "3", "b": "2"}, {"a"}),
        (b'[{"a":1,"a":2},{"b":1,"b":NaN}]', "duplicate_key", [{"a": "2"}, {"b": "NaN"}], {"a", "b"}),
        (b'[NaN,{"a":1,"a":2}]', "not_finite", ["NaN", {"a": "2"}], {"a"}),
        (b"-Infinity", "not_finite", "-Infinity", set()),
        (b'["\\udfff"]', "lone_surrogate", ["\udfff"], set()),
    ],
)
def test_lapses(text, reason, tree, repeated):
    with pytest.raises(NotStrictError) as caught:
        parse(text)
    error = caught.value
    assert (error.reason, error.tree, error.repeated) == (reason, tree, repeated)
    assert str(error) == error.message


def test_brackets_in_texts_are_not_depth():
    assert parse(b'["' + b"[" * 100 + b'\\"{"]') == ["[" * 100 + '"{']
    assert parse(b"[" * 16 + b"]" * 16)
    assert parse(b"[" + b"[]," * 100 + b"[]]")

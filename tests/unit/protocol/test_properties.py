"""Any bytes in any state: no exception, nothing outside the table, nothing lost without a trace."""

import json

import fuzz_decode
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.domain.metrics import METRICS
from connector.protocol.session import Session, State

KEYS = st.sampled_from(
    [
        *("status_code", "content", "message", "topic", "data", "type", "department_id", "30", "60", "15", "x"),
        *(metric.key for metric in METRICS),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from([200, 401, 500, 5, "chats", "agents", "update", "Not Computed!"])
    | st.text(max_size=5)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner),
    max_leaves=12,
)
READINGS = st.dictionaries(
    st.sampled_from([metric.key for metric in METRICS]) | st.text(max_size=5),
    LEAVES | st.dictionaries(st.sampled_from(["30", "60", "15"]), LEAVES, max_size=3),
    max_size=4,
)


@st.composite
def near_frames(draw):
    """Update frames, each part of which may be anything."""
    content = {
        "topic": draw(st.sampled_from(["chats", "agents"]) | LEAVES),
        "data": draw(READINGS | TREES),
        "type": draw(st.sampled_from(["update"]) | LEAVES),
        "department_id": draw(st.none() | st.integers(0, 2**64) | LEAVES),
    }
    frame = {"content": content, "status_code": draw(st.sampled_from([200, 200, 200, 401, 500]) | LEAVES)}
    frame |= draw(st.dictionaries(KEYS, TREES, max_size=1))
    return frame


def dumped(trees):
    return trees.map(lambda tree: json.dumps(tree, ensure_ascii=escaped(tree)).encode("utf-8", "surrogatepass"))


def escaped(tree):
    """Half of the texts with escapes, half without; decided by the text, so that shrinking is stable."""
    return len(repr(tree)) % 2 == 0


FRAMES = st.binary(max_size=200) | dumped(TREES) | dumped(near_frames())


@pytest.mark.parametrize(
    "frames", [st.binary(max_size=200), dumped(TREES), dumped(near_frames())], ids=["bytes", "json", "near"]
)
def test_decode_agrees_with_a_second_reading(frames):
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(frames)
    def agrees(frame):
        fuzz_decode.compare(frame)

    agrees()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames=st.lists(FRAMES | st.sampled_from(fuzz_decode.SAMPLES), max_size=8), late=st.booleans())
def test_a_session_loses_nothing_and_stays_in_its_table(frames, late):
    session = Session("s1", fuzz_decode.WANTED, now=0.0)
    if late:
        session.handle_timer(2.0, 0)
    for frame in frames:
        fuzz_decode.hear(session, frame, fuzz_decode.compare(frame))
    assert (session.next_timer() is None) == (session.state is State.CLOSED)


def test_the_fuzzer_finds_no_difference():
    outcomes = fuzz_decode.fuzz(3_000, seed=1)
    assert outcomes["update"] > 30
    assert len(outcomes) > 15


def test_the_fuzzer_finds_a_decoder_that_lets_repeated_keys_pass(monkeypatch):
    strict = fuzz_decode.decode

    def lenient(frame):
        verdict = strict(frame)
        if getattr(verdict, "reason", "") != "duplicate_key":
            return verdict
        return strict(json.dumps(json.loads(frame)).encode())

    monkeypatch.setattr(fuzz_decode, "decode", lenient)
    with pytest.raises(AssertionError) as caught:
        fuzz_decode.fuzz(3_000, seed=1)
    assert caught.value.__notes__[0].startswith("input ")


def test_same_seed_same_inputs():
    first, second = (list(zip(range(500), fuzz_decode.mutants(3), strict=False)) for _ in range(2))
    assert first == second

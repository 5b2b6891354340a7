"""Mutated frames against `decode` and `Session.receive`, compared with a second reading of the rules.

    python tests/fuzz_decode.py --runs 20000 --seed 1

Same seed, same inputs. Exit 1 with the input at the first difference.
"""

import argparse
import json
import math
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT.parent)]

from connector.domain.events import Noticed, Rejected, Updated  # noqa: E402  the script runs uninstalled, too
from connector.domain.metrics import METRICS  # noqa: E402
from connector.domain.model import Series  # noqa: E402
from connector.protocol.messages import decode  # noqa: E402
from connector.protocol.session import TRANSITIONS, Session, State  # noqa: E402
from connector.protocol.verdicts import REASONS, Malformed, Notice, Update  # noqa: E402

SAMPLES = [json.loads(path.read_text())["frame"].encode() for path in sorted((ROOT / "samples").glob("*.json"))]
TABLE = {(metric.family, metric.key): metric.windowed for metric in METRICS}
WINDOWS = {"30": 30, "60": 60}


# The second reading: whatever it calls malformed, `decode` must refuse, and the reverse.


class Pairs(list):
    """An object, repeated keys and all."""


class RefusedError(Exception):
    """The frame is refused."""


def need(truth):
    if not truth:
        raise RefusedError


def oracle(frame):
    """("malformed",) or ("notice", kind, status) or ("update", {route: (number, literal)}, refused values)."""
    try:
        text = frame.decode("utf-8", "strict")
        tree = json.loads(
            text,
            object_pairs_hook=Pairs,
            parse_int=lambda literal: ("#", literal),
            parse_float=lambda literal: ("#", literal),
            parse_constant=lambda literal: need(False),
        )
        inspect(tree, 0)
        return classify(members(tree))
    except (ValueError, RecursionError, RefusedError):
        return ("malformed",)


def inspect(tree, depth):
    """Depth, repeated keys and surrogates, everywhere."""
    if isinstance(tree, Pairs):
        need(depth < 16)
        need(len({key for key, _ in tree}) == len(tree))
        for key, value in tree:
            inspect(key, depth)
            inspect(value, depth + 1)
    elif isinstance(tree, list):
        need(depth < 16)
        for value in tree:
            inspect(value, depth + 1)
    elif isinstance(tree, str):
        need(not any(0xD800 <= ord(char) <= 0xDFFF for char in tree))


def members(tree):
    need(isinstance(tree, Pairs))
    return {key: value for key, value in tree}  # noqa: C416  a dict of Pairs, said as such


def is_number(value):
    return isinstance(value, tuple)


def classify(frame):
    status = frame.get("status_code")
    need(is_number(status) and status[1] in {"200", *map(str, range(400, 600))})
    status = int(status[1])
    if status != 200:
        return ("notice", "error" if status > 499 else "refused", status)
    content = frame.get("content")
    if content is None and "message" in frame:
        message = frame["message"]
        if message == "Not Computed!":
            return ("notice", "not_computed", 200)
        if isinstance(message, Pairs) and members(message).get("authenticated") is True:
            return ("notice", "authenticated", 200)
        return ("notice", "acknowledged", 200)
    content = members(content)
    need(isinstance(content.get("type"), str))
    if content["type"] != "update":
        return ("notice", "unknown_type", 200)
    return judge(content)


def judge(content):
    need(content.get("topic") in ("chats", "agents"))
    need("department_id" in content)
    department = content["department_id"]
    if department is not None:
        need(is_number(department) and re.fullmatch(r"-?[0-9]{1,25}", department[1], re.ASCII))
        department = int(department[1])
        need(0 <= department < 2**63)
    data = members(content.get("data"))
    need(data)
    values, refused = {}, 0
    for metric, value in data.items():
        windowed = TABLE.get((content["topic"], metric))
        if windowed is None or (windowed and (not isinstance(value, Pairs) or not value)):
            refused += 1
            continue
        for window, number in members(value).items() if windowed else [(None, value)]:
            good = plausible(number) and (not windowed or window in WINDOWS)
            if good:
                route = (content["topic"], metric, WINDOWS.get(window), department)
                values[route] = (None, None) if number is None else (float(number[1]), number[1])
            refused += not good
    return ("update", values, refused)


def plausible(number):
    if number is None:
        return True
    return is_number(number) and len(number[1]) <= 64 and abs(float(number[1])) < math.inf


# What decode and the session have to agree with


def compare(frame):
    """Decode the frame; the verdict if it agrees with the oracle."""
    verdict = decode(frame)
    if type(verdict) is Malformed:
        found = ("malformed",)
        check_malformed(verdict)
    elif type(verdict) is Notice:
        found = ("notice", verdict.kind, verdict.status)
        assert len(verdict.text) <= 80
        assert verdict.text.isprintable()
    else:
        assert type(verdict) is Update
        values = {route: (value, raw) for route, value, raw in verdict.values}
        assert len(values) == len(verdict.values)
        found = ("update", values, len(verdict.malformed))
        for one in verdict.malformed:
            check_malformed(one)
    expected = oracle(frame)
    assert repr(found) == repr(expected), f"decode: {found}\noracle: {expected}"
    return verdict


def check_malformed(malformed):
    assert malformed.reason in REASONS
    assert malformed.message.isprintable()
    assert len(malformed.message) <= 200
    for family, metric, window, _ in malformed.lost:
        assert (window is not None) == TABLE[family, metric]


STATES = frozenset(TRANSITIONS.values())
WANTED = [
    Series(metric.family, metric.key, window, department)
    for metric in METRICS
    for window in ((30, 60) if metric.windowed else (None,))
    for department in (None, 5)
]


def hear(session, frame, verdict):
    """Feed the session and check that its events hold exactly what the frame holds."""
    before, frames = session.state, session.frames
    events = session.receive(frame, now=1.0, wall_us=frames)
    assert session.state in STATES
    if before is State.CLOSED:
        assert events == []
        return
    assert session.frames == frames + 1
    assert all(event.frame == session.frames and event.session_id == session.session_id for event in events)
    updated = [event for event in events if type(event) is Updated]
    rejected = [event for event in events if type(event) is Rejected]
    noticed = [event for event in events if type(event) is Noticed]
    assert len(updated) + len(rejected) + len(noticed) == len(events)
    unwanted = sum(event.kind == "unwanted" for event in noticed)
    values = verdict.values if type(verdict) is Update else ()
    assert len(updated) + unwanted == len(values)
    assert all(event.series in WANTED for event in updated)
    bad = type(verdict) is Malformed or (type(verdict) is Update and bool(verdict.malformed))
    assert [event.payload for event in rejected] == [frame] * bad
    assert (session.error is not None) == (session.state is State.CLOSED)
    if type(verdict) is Notice:
        assert [event.kind for event in noticed][-1] == verdict.kind
        assert (session.state is State.CLOSED) == (verdict.status == 401)


# Mutations

TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[{}\[\]:,]')
WORDS = [
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e-400", b"-1", b"-0", b"0", b"12.50", b"1e2"),
    *(b"01", b"1.", b".5", b"+1", b"9" * 64, b"9" * 65, b"1" + b"0" * 400, b"9223372036854775807"),
    *(b"9223372036854775808", b"18446744073709551616", b"13388700431505", b"5", b"5.0", b"200", b"200.0", b"201"),
    *(b"401", b"403", b"500", b"599", b"600", b"true", b"false", b"null", b"[]", b"{}", b"[1]", b'{"a":1}', b'""'),
    *(b'"30"', b'"60"', b'"15"', b'"x"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0074opic"', b'"a:b"', b'"5"'),
    *(b'"chats"', b'"agents"', b'"update"', b'"ack"', b'"topic"', b'"data"', b'"type"', b'"department_id"'),
    *(b'"content"', b'"status_code"', b'"message"', b'"Not Computed!"', b'{"authenticated":true}', b'"\xff"'),
    *(b'{"30":1}', b'{"30":1,"60":2}', b'{"30":1,"30":2}', b'{ "60" : 7 }', b"[" * 17 + b"]" * 17, b"[" * 3000),
    *(b'{"a":' * 14 + b"1" + b"}" * 14, b"\xef\xbb\xbf", b"\x00", b"\t", b"\n", b"\xc3", b"\xed\xa0\x80", b" "),
    *(b'"%s"' % metric.key.encode() for metric in METRICS),
]


NAMES = [word for word in WORDS if word.startswith(b'"')]


def seeds():
    frames = list(SAMPLES)
    for metric in METRICS:
        for value, department in ((b"7", b"null"), (b"null", b"5"), (b"-1", b"13388700431505"), (b"12.50", b"6")):
            reading = b'{"30":%s}' % value if metric.windowed else value
            frames.append(
                b'{"content":{"topic":"%s","data":{"%s":%s},"type":"update","department_id":%s},"status_code":200}'
                % (metric.family.encode(), metric.key.encode(), reading, department)
            )
    return frames


def mutate_bytes(rng, frame, corpus):
    at = rng.randrange(len(frame) + 1)
    to = min(len(frame), at + rng.randrange(1, 9))
    match rng.randrange(6):
        case 0:
            return frame[:at] + bytes([rng.randrange(256)]) + frame[at + 1 :]
        case 1:
            return frame[:at] + frame[to:]
        case 2:
            return frame[:to] + frame[at:]
        case 3:
            return frame[:at] + rng.choice(WORDS) + frame[at:]
        case 4:
            return frame[:at]
        case _:
            other = rng.choice(corpus)
            return frame[:at] + other[rng.randrange(len(other) + 1) :]


def mutate_tokens(rng, frame):
    tokens = list(TOKEN.finditer(frame))
    if not tokens:
        return frame + rng.choice(WORDS)
    start, end = rng.choice(tokens).span()
    match rng.randrange(3):
        case 0:
            return frame[:start] + rng.choice(WORDS) + frame[end:]
        case 1:
            return frame[:start] + rng.choice(tokens)[0] + frame[end:]
        case _:
            return frame[:start] + frame[end:]


def mutate_tree(rng, frame):
    """Another JSON text: a member or a value is replaced, repeated, added, renamed or gone."""
    try:
        tree = json.loads(frame, object_pairs_hook=Pairs, parse_int=literally, parse_float=literally)
    except (ValueError, RecursionError):
        return frame
    objects = list(objects_in(tree, 0))
    if not objects:
        return frame
    target = rng.choice(objects)
    at = rng.randrange(len(target)) if target else 0
    action = rng.randrange(6) if target else 0
    match action:
        case 0:
            target.insert(at, (rng.choice(NAMES), rng.choice(WORDS)))
        case 1:
            target.append((target[at][0], rng.choice((target[at][1], rng.choice(WORDS)))))
        case 2:
            target[at] = (rng.choice(NAMES), target[at][1])
        case 3:
            del target[at]
        case _:
            target[at] = (target[at][0], rng.choice(WORDS))
    return render(tree)


def literally(literal):
    return literal.encode()


def objects_in(tree, depth):
    if isinstance(tree, Pairs):
        yield tree
    if isinstance(tree, list) and depth < 20:
        for value in tree:
            yield from objects_in(value[1] if isinstance(tree, Pairs) else value, depth + 1)


def render(tree):
    if isinstance(tree, Pairs):
        return b"{" + b",".join(render_name(name) + b":" + render(value) for name, value in tree) + b"}"
    if isinstance(tree, list):
        return b"[" + b",".join(map(render, tree)) + b"]"
    return tree if isinstance(tree, bytes) else json.dumps(tree).encode()


def render_name(name):
    return name if isinstance(name, bytes) else json.dumps(name).encode()


def mutate(rng, frame, corpus):
    kind = rng.random()
    if kind < 0.8:
        return mutate_tree(rng, frame)
    return mutate_tokens(rng, frame) if kind < 0.95 else mutate_bytes(rng, frame, corpus)


def mutants(seed):
    """Inputs without end, ever the same for a seed."""
    rng = random.Random(seed)
    corpus = seeds()
    yield from corpus
    while True:
        frame = rng.choice(corpus)
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
            frame = mutate(rng, frame, corpus)
        yield frame[:20_000]


def outcome(verdict):
    if type(verdict) is Malformed:
        return verdict.reason
    if type(verdict) is Notice:
        return verdict.kind
    return "update" if not verdict.malformed else f"update with {verdict.malformed[0].reason}"


def fresh(number):
    session = Session(f"s{number}", WANTED, now=0.0)
    if number % 2:
        session.handle_timer(2.0, 0)
    return session


def fuzz(runs, seed):
    """How often each outcome came.

    Raises:
        AssertionError: with the input in its notes.
    """
    outcomes = Counter()
    session = fresh(0)
    for number, frame in zip(range(runs), mutants(seed), strict=False):
        try:
            verdict = compare(frame)
            hear(session, frame, verdict)
        except Exception as error:
            error.add_note(f"input {number}, {len(frame)} bytes: {frame!r}")
            raise
        outcomes[outcome(verdict)] += 1
        if session.state is State.CLOSED or number % 50 == 0:
            session = fresh(number)
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000, help="how many inputs")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.perf_counter()
    try:
        outcomes = fuzz(arguments.runs, arguments.seed)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
        print(f"FAILED: {type(error).__name__}: {error}", *getattr(error, "__notes__", ()), sep="\n")
        return 1
    seconds = time.perf_counter() - started
    print(*(f"{count:9} {name}" for name, count in sorted(outcomes.items())), sep="\n")
    print(f"{arguments.runs} inputs, seed {arguments.seed}, {arguments.runs / seconds:.0f} inputs/s, no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())

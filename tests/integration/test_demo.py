"""The demo as people start it: it ends by itself, leaves nothing behind, and would notice a loss."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from connector.demo.comparison import compare, frames_of

COMMAND = [sys.executable, "-m", "connector", "demo"]
TOKENS = ("owner-token", "administrator-token", "agent-token", "emulator-secret")


def demo(folder, *arguments, environment=None):
    """Run a demo to its end, with a temporary folder of its own."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={**os.environ, "TMPDIR": str(folder), **(environment or {})},
    )


def summary_of(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_complete(summary):
    assert summary["ok"]
    assert summary["sent"] == summary["consumed"] > summary["series"] > 0
    assert {summary[name] for name in ("lost", "duplicated", "unknown", "suppressed", "gaps", "dead_letters")} == {0}


def running(folder):
    """Processes that were started with files in this folder."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def assert_nothing_left(folder):
    deadline = time.monotonic() + 5
    while running(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(folder) == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("broker", "name"), [("embedded", "noida-db"), ("mock", "librdkafka-mock")])
def test_without_kafka(tmp_path, broker, name):
    # A setting of somebody's real connector must not lead the demo to a real account.
    done = demo(
        tmp_path, "--for", "5s", "--json", "--broker", broker, environment={"ZCK_SOURCE__URL": "wss://127.0.0.1:1/"}
    )
    summary = summary_of(done)
    assert_complete(summary)
    assert summary["broker"] == name
    assert summary["series"] == 72
    assert 4.9 < summary["seconds"] < 10
    assert summary["first_row_seconds"] > 0
    assert not any(token in done.stdout + done.stderr for token in TOKENS)
    assert_nothing_left(tmp_path)


def test_on_a_given_cluster_with_topics_of_its_own(tmp_path, kafka_bootstrap):
    from confluent_kafka.admin import AdminClient

    done = demo(tmp_path, "--for", "3s", "--json", "--bootstrap", kafka_bootstrap)
    summary = summary_of(done)
    assert_complete(summary)
    assert summary["broker"] == "existing"
    prefix = done.stderr.partition("topics of its own there, ")[2].partition(".*")[0]
    assert prefix.startswith("demo-")
    topics = AdminClient({"bootstrap.servers": kafka_bootstrap}).list_topics(timeout=20).topics
    assert [topic for topic in topics if topic.startswith(prefix)] == []
    assert_nothing_left(tmp_path)


def test_plain_lines_in_a_pipe(tmp_path):
    done = demo(tmp_path, "--for", "1s", "--departments", "0")
    assert done.returncode == 0, done.stderr
    assert "noida-db stands in for Kafka" in done.stdout
    assert "every update sent is in Kafka exactly once" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("row", "number", "code"),
    [(False, signal.SIGINT, 130), (False, signal.SIGTERM, 130), (True, signal.SIGINT, 0), (True, signal.SIGTERM, 0)],
    ids=["starting-int", "starting-term", "running-int", "running-term"],
)
def test_an_interrupt_ends_everything(tmp_path, row, number, code):
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        for line in process.stdout:
            if line.startswith("Starting") and not row:
                break
            if "newest:" in line:
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code, out + err
    assert err == ""
    assert ("exactly once" in out) is row
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--for", "soon"], "error: --for soon: is no time; write 15s, 2m or a number of seconds"),
        (["--for", "0s"], "error: --for 0s: is no time; write 15s, 2m or a number of seconds"),
        (["--rate", "0"], "error: --rate 0: must be above 0"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path, arguments, message):
    done = demo(tmp_path, *arguments)
    assert (done.returncode, done.stderr, done.stdout) == (2, f"{message}\n", "")


# The comparison itself: fed with a fault, it must find it.


def frames(*rows):
    return [
        {"event": "frame", "session": session, "frame": number, "values": values} for session, number, values in rows
    ]


SENT = frames(
    ("a", 1, []),
    ("a", 2, [["x", "1"]]),
    ("a", 3, [["x", "1"], ["y", "5"]]),
    ("a", 4, [["y", "6"]]),
)
RIGHT = Counter({("a", 2, "x"): 1, ("a", 3, "x"): 1, ("a", 3, "y"): 1, ("a", 4, "y"): 1})


def test_every_value_once_is_faithful():
    found = compare(SENT, RIGHT)
    assert found.faithful
    assert found == (4, [], [], [], [])


@pytest.mark.parametrize("dropped", sorted(RIGHT))
def test_a_dropped_record_is_found(dropped):
    found = compare(SENT, RIGHT - Counter([dropped]))
    assert (found.lost, found.duplicated, found.faithful) == ([dropped], [], False)


@pytest.mark.parametrize("doubled", sorted(RIGHT))
def test_a_doubled_record_is_found(doubled):
    found = compare(SENT, RIGHT + Counter([doubled]))
    assert (found.lost, found.duplicated, found.faithful) == ([], [doubled], False)


def test_a_drop_and_a_double_do_not_cancel_out():
    found = compare(SENT, RIGHT - Counter([("a", 2, "x")]) + Counter([("a", 4, "y")]))
    assert (found.lost, found.duplicated) == ([("a", 2, "x")], [("a", 4, "y")])


def test_a_record_that_was_never_sent_is_found():
    found = compare(SENT, RIGHT + Counter([("a", 9, "x")]))
    assert found.unknown == [("a", 9, "x")]
    assert not found.faithful


def test_only_an_equal_snapshot_of_a_later_session_may_be_missing():
    later = frames(("b", 2, [["x", "1"]]), ("b", 3, [["y", "7"]]), ("b", 4, [["x", "1"]]))
    found = compare([*SENT, *later], RIGHT)
    assert found.suppressed == [("b", 2, "x")]
    assert found.lost == [("b", 3, "y"), ("b", 4, "x")]


def test_frames_are_read_from_a_journal(tmp_path):
    journal = tmp_path / "journal.jsonl"
    lines = [{"event": "open", "session": "a"}, *SENT, {"event": "close", "session": "a"}]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert list(frames_of(journal)) == SENT

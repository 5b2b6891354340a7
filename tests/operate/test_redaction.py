"""What the log hides, and how it says the rest."""

import io
import json
import logging
import subprocess
import sys
import threading
import warnings

import leaks
import pytest
import structlog
from canary import forms, hatch, hits, plain
from confluent_kafka import Producer

from connector.adapters.log import BURST, PERIOD, LogObserver, Repeats, configure, kafka_logger
from connector.config import redaction
from connector.config.redaction import MARK, redact, remember


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(redaction, "_known", {})
    monkeypatch.setattr(redaction, "_pattern", None)


@pytest.fixture
def log(monkeypatch):
    """Lines of the log, as JSON; everything is put back afterwards."""
    out = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook
    monkeypatch.setattr(sys, "stderr", out)
    configure("debug", "json")

    def lines():
        return [json.loads(line) for line in out.getvalue().splitlines()]

    yield lines
    root.handlers[:], level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.mark.parametrize("make", [hatch, plain])
def test_every_form_is_hidden(make):
    secret = make("x")
    remember(secret)
    for form, text in forms(secret).items():
        if form != "hex":
            assert hits({"x": secret}, {"out": redact(f"before {text} after")}) == [], form
    assert redact("nothing of it") == "nothing of it"


def test_inside_longer_base64():
    import base64

    secret = plain("x")
    remember(secret)
    for user in ("a", "ab", "abc", "abcd"):
        header = base64.b64encode(f"{user}:{secret}".encode()).decode()
        assert MARK in redact(f"Authorization: Basic {header}")
        assert hits({"x": secret}, {"out": redact(header)}) == []


def test_pem_is_hidden_line_by_line_and_short_texts_are_not():
    remember("-----BEGIN KEY-----\nMIIBVgIBADANBgkq\nabcdefghijklmnop\n-----END KEY-----")
    assert redact("abcdefghijklmnop") == MARK
    assert redact("-----BEGIN KEY-----") == "-----BEGIN KEY-----"
    remember("abc")
    assert redact("abc") == "abc"


def test_old_secrets_are_hidden_for_a_while():
    first = plain("first")
    remember(first)
    for number in range(redaction.REMEMBERED - 1):
        remember(f"secret-{number:05}")
    assert redact(first) == MARK
    remember("one-more")
    assert redact(first) == first


def test_lines_are_redacted_and_stay_one_line(log):
    secret = hatch("token")
    remember(secret)
    structlog.get_logger().warning("notice", text=f"a\nb {secret}\x1b[31m", nested={"deep": [secret]})
    (line,) = log()
    assert hits({"token": secret}, {"log": json.dumps(line)}) == []
    assert line["text"].startswith("a b ")
    assert "\x1b" not in line["text"]


def test_what_libraries_say_is_ours(log):
    logging.getLogger("some.library").warning("it says %s", "this")
    logging.getLogger("some.library").info("not worth it")
    logging.getLogger("websockets.client").debug("Authorization: Bearer x")
    warnings.showwarning("old", UserWarning, "file.py", 1)
    try:
        {}["inner"]
    except KeyError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
    first, third, fourth = log()
    assert (first["event"], first["logger"], first["message"]) == ("library", "some.library", "it says this")
    assert third["logger"] == "py.warnings"
    assert (fourth["error"], fourth["level"]) == ("KeyError", "error")
    assert fourth["at"].startswith("test_redaction.py:")


def test_a_broken_line_is_written_as_it_is(log):
    (handler,) = (one for one in logging.getLogger().handlers if type(one).__module__ == "connector.adapters.log")
    handler.emit(logging.LogRecord("x", logging.ERROR, "", 1, "broken %s %s", ("format",), None))
    assert log()[0]["message"] == "broken %s %s"


def test_what_nobody_caught_is_one_line(log):
    def fail():
        raise ValueError("in a thread")

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    try:
        int("at the top")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    thrown, top = log()
    assert (thrown["event"], thrown["where"], thrown["message"]) == ("unexpected error", "thread worker", "in a thread")
    assert (top["where"], top["error"]) == ("process", "ValueError")


def test_librdkafka_speaks_through_us(log):
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "logger": kafka_logger()})
    for _ in range(30):
        producer.poll(0.1)
        if log():
            break
    line = log()[0]
    assert (line["event"], line["level"]) == ("kafka client", "error")
    assert "Connection refused" in line["message"]


def test_repeats_are_counted_not_written():
    now = [0.0]
    repeats = Repeats(lambda: now[0])
    passed = []

    def say(**fields):
        try:
            passed.append(repeats(None, "", {"level": "warning", **fields}))
        except structlog.DropEvent:
            return

    for number in range(BURST + 7):
        say(event="no session", reason="auth", retry_in_s=number)
    assert len(passed) == BURST
    say(event="no session", reason="throttled")
    assert len(passed) == BURST + 1, "another kind"
    now[0] = PERIOD
    say(event="no session", reason="auth")
    assert passed[-1]["suppressed"] == 7
    now[0] = 2 * PERIOD
    say(event="no session", reason="auth")
    assert "suppressed" not in passed[-1]


def test_the_level_can_be_changed(capsys):
    observer = LogObserver("acme")
    configure("error", "json")
    observer.waiting("one", 1.0)
    configure("info", "json")
    observer.waiting("two", 1.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "two"
    structlog.reset_defaults()


def test_the_process_gives_up_core_dumps_and_debuggers():
    program = (
        "from connector.cli.restrict import restrict_process; import ctypes, resource;"
        "dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0); before = dumpable(); restrict_process();"
        "print(before, *resource.getrlimit(resource.RLIMIT_CORE), dumpable())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0", "0", "0"]


def test_the_last_check_of_a_run_finds_what_leaked():
    secret = plain("planted")
    leaks.search({"token": secret}, {"log": f'{{"event": "{secret}"}}', "clean": "nothing"})
    (found,) = leaks.take()
    assert found.startswith("token (plain) in log: ")
    assert leaks.take() == []

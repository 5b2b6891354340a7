"""Bytes on the wire and lines in the journal."""

import base64
import json

import pytest

from connector.domain.model import Series
from connector.emulator.frames import BINARY, Template, close_wire, combined, data_frame, notice, wire
from connector.emulator.journal import BUFFER, Journal, frame_heading
from connector.errors import LocalError


@pytest.mark.parametrize(
    ("length", "header"),
    [(0, "8100"), (125, "817d"), (126, "817e007e"), (65535, "817effff"), (65536, "817f0000000000010000")],
)
def test_frame_headers(length, header):
    assert wire(1, b"x" * length) == bytes.fromhex(header) + b"x" * length


def test_close_frames():
    assert close_wire(1005) == b"\x88\x00"
    assert close_wire(1001, "bye") == b"\x88\x05\x03\xe9bye"


@pytest.mark.parametrize("literal", ["1", "-1", "null", "12.50", "1e3", '"text \\u00e9 \\""', "{}"])
@pytest.mark.parametrize(
    "name", ["chats.missed_chats|30|5", "agents.agents_away||", "chats.waiting_time_avg||13388700431505"]
)
def test_a_template_makes_the_same_frame_as_the_long_way(name, literal):
    series = Series.parse(name)
    assert Template(series).frame(literal).payload == combined({series: literal}).payload
    assert json.loads(b"{" + Template(series).frame(literal).line) == json.loads(
        b"{" + combined({series: literal}).line
    )


def journaled(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_journal_tells_every_frame_byte_for_byte(tmp_path):
    series = Series.parse("chats.missed_chats|30|5")
    sent = [
        notice("auth", 200, {"authenticated": True}),
        Template(series).frame("12.50"),
        data_frame("malformed", b'caf\xe9 "', BINARY),
        data_frame("malformed", 'é "\\\n'.encode()),
    ]
    journal = Journal(tmp_path / "j", sync=True)
    journal.opened('my "session"', 3, "agent")
    journal.sent(frame_heading('my "session"', 3), 7, 1_000_001, sent)
    journal.published(5, [(series, "null")])
    journal.closed('my "session"', 3, 10)
    journal.close()
    opened, *lines, value, closed = journaled(tmp_path / "j")
    assert opened == {"event": "open", "session": 'my "session"', "connection": 3, "role": "agent"}
    assert [(line["event"], line["session"], line["connection"], line["at"]) for line in lines] == [
        ("frame", 'my "session"', 3, 1_000_001)
    ] * 4
    assert [line["frame"] for line in lines] == [7, 8, 9, 10]
    assert [line["kind"] for line in lines] == ["auth", "update", "malformed", "malformed"]
    raw = [line["text"].encode() if "text" in line else base64.b64decode(line["base64"]) for line in lines]
    assert raw == [frame.payload for frame in sent]
    assert [line.get("values") for line in lines] == [None, [[series.name, "12.50"]], None, None]
    assert value == {"event": "value", "at": 5, "series": series.name, "value": "null"}
    assert closed == {"event": "close", "session": 'my "session"', "connection": 3, "frames": 10}


def test_the_journal_holds_back_a_bounded_amount(tmp_path):
    journal = Journal(tmp_path / "j")
    frame = data_frame("malformed", b"x" * 1000)
    journal.sent(frame_heading("s", 1), 1, 0, [frame])
    assert (tmp_path / "j").stat().st_size == 0
    for number in range(2, 400):
        journal.sent(frame_heading("s", 1), number, 0, [frame])
    assert (tmp_path / "j").stat().st_size > BUFFER
    journal.close()
    assert [line["frame"] for line in journaled(tmp_path / "j")] == list(range(1, 400))


def test_a_journal_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(LocalError, match="name a file that can be written"):
        Journal(tmp_path / "absent" / "j")

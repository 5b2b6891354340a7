"""The Python examples as they stand: the golden rows, the gaps, and a wallboard that greys what it cannot vouch for."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from acceptance.stage import Stage
from consume import digest, engines
from consume.arrivals import LATER, recorded
from consume.compaction import compacted_rows, removed
from consume.promised import seen
from consume.report import compare
from figures import tell

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "examples" / "python"
GREY_WITHIN = 5.0


def program(name, environment, *arguments):
    command = [sys.executable, str(PROGRAMS / name), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=120
    )


@pytest.mark.parametrize(("name", "options"), [("tail.py", ["--from-beginning"]), ("reader.py", [])])
def test_every_golden_row_is_read(golden, name, options):
    began = time.monotonic()
    done = program(name, golden.environment, *options, "--until-end", "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    seconds = time.monotonic() - began
    assert compare("confluent-kafka", rows, seconds, golden.expected["metrics"], f", {name}")
    assert digest.digest(rows, LATER) == digest.digest((one["json"] for one in recorded("metrics")), LATER)


@pytest.mark.parametrize(("name", "options"), [("tail.py", ["--from-beginning"]), ("reader.py", [])])
def test_it_ends_behind_aborted_records_and_shows_none(death, name, options):
    done = program(name, death.golden.environment, *options, "--until-end", "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert seen(rows) == death.promised
    assert digest.digest(rows) == digest.digest(death.rows)


def test_the_reader_gives_every_gap_between_two_updates_once(golden):
    with gzip.open(ROOT / "samples" / "hour.jsonl.gz", "rt", encoding="utf-8") as file:
        recorded = [json.loads(line) for line in file]
    newest = {one["json"]["series"]: one["json"]["epoch"] for one in recorded if one["topic"] == "metrics"}
    final = {
        one["json"]["gap_id"]
        for one in recorded
        if one["topic"] == "gaps"
        and one["json"]["ended_at"] is not None
        # A gap at whose end the value was still the same has no update behind it yet.
        and one["json"]["epoch_after"] <= newest[one["json"]["series"]]
    }
    done = program("reader.py", golden.environment, "--until-end", "--json")
    given = [gap for line in done.stdout.splitlines() for gap in json.loads(line)["gaps"]]
    assert len(given) == len(set(given)) > 100
    assert set(given) == final


def test_the_page_s_commands_print_for_people(golden):
    there = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment = {**os.environ, **golden.environment, **there}
    assert len(engines.finish(engines.TAIL, environment, PROGRAMS).splitlines()) == golden.expected["metrics"]["rows"]
    assert "1 gaps are open" in engines.finish(engines.READER, environment, PROGRAMS)
    with engines.running(engines.WALLBOARD, environment, PROGRAMS) as printed:
        engines.wait_until(lambda: any("no heartbeat for" in line for line in printed), "a picture of old values")


class Wallboard:
    """The program, and its newest picture."""

    def __init__(self, environment):
        command = [sys.executable, str(PROGRAMS / "wallboard.py"), "--json"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        self._pictures = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._pictures.put(json.loads(line))

    def wait_until(self, condition, seconds=60.0):
        """The first picture for which it holds, and how long that took."""
        began = time.time()
        picture = None
        while time.time() < began + seconds:
            assert self.process.poll() is None, self.process.stderr.read()
            with contextlib.suppress(queue.Empty):
                picture = self._pictures.get(timeout=0.2)
                if picture["at"] > began and condition(picture["cells"]):
                    return picture["cells"], time.time() - began
        raise AssertionError(f"not within {seconds} s: {picture}")

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()
        self.process.stderr.close()


def test_a_tombstone_removes_a_value_from_the_wallboard(bereft):
    board = Wallboard(bereft.environment)
    with contextlib.closing(board):
        cells, _ = board.wait_until(bool)
    gone = {key.removeprefix("acme/") for key in removed()}
    expected = {row["series"]: row["value"] for row in compacted_rows()}
    assert gone < set(expected)
    assert {cell["series"]: cell["value"] for cell in cells} == {
        series: value for series, value in expected.items() if series not in gone
    }


def lit(cells):
    return bool(cells) and all(cell["grey"] is None for cell in cells)


def all_grey(cells):
    return bool(cells) and all(cell["grey"] is not None for cell in cells)


def test_a_value_is_grey_within_five_seconds_of_a_death(kafka_bootstrap, registry_url, tmp_path):
    stage = Stage(tmp_path, kafka_bootstrap, registry_url, departments=1, rate=50.0)
    with contextlib.closing(stage):
        stage.start_emulator().write_config(heartbeat={"interval": "1s"}).provision()
        first = stage.start_connector()
        environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap, "SCHEMA_REGISTRY_URL": registry_url}
        board = Wallboard({**environment, "PREFIX": stage.prefix})
        with contextlib.closing(board):
            cells, _ = board.wait_until(lambda cells: len(cells) == 36 and lit(cells))
            assert {cell["department"] for cell in cells} == {"all", *map(str, stage.ready["departments"])}

            first.kill()
            cells, seconds = board.wait_until(all_grey)
            tell(f"wallboard, owner killed: grey after {seconds:.1f} s")
            assert seconds < GREY_WITHIN
            assert {cell["grey"].split(" for ")[0] for cell in cells} == {"no heartbeat"}

            first.wait()
            stage.start_connector("second")
            board.wait_until(lit)

            stage.emulator.kill()
            cells, seconds = board.wait_until(all_grey)
            tell(f"wallboard, source killed: grey after {seconds:.1f} s")
            assert seconds < GREY_WITHIN
            assert {cell["grey"] for cell in cells} == {"gap: disconnect"}

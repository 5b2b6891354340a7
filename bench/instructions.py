"""Instructions that one update costs, as a multiple of a bare fastavro loop, counted by callgrind in one run.

Decode, ledger, records and encoding: all of an update's path that is neither socket nor librdkafka. The clock plays
no part, so a loaded machine counts the same. ``python -m bench.instructions`` compares with `EXPECTED`.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro

from bench.blaster import BLOCK
from bench.series import frame_parts, series
from connector.adapters.framing import Encoder, plain
from connector.adapters.schema_files import schema_text
from connector.domain.ledger import Ledger
from connector.domain.model import Batch, ShardState
from connector.domain.queue import Queue
from connector.domain.records import METRIC_UPDATE, Recorder
from connector.domain.routes import VARYING
from connector.domain.topics import Topics
from connector.protocol.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connector.domain.model import Series

EXPECTED = 0.65
"""Instructions of one update by those of one record in a bare fastavro loop. Lower it with every gain."""
TOLERANCE = 0.05
ROUNDS = 2
RECEIVED_US = 1_800_000_000_123_456


class Route:
    """What happens to a frame from the socket's edge to the producer's."""

    def __init__(self, followed: list[Series]) -> None:
        self.ledger = Ledger(Queue(room=500_000))
        self.ledger.subscribe(followed)
        self.session = Session("0" * 32, followed, now=0.0)
        self.session.receive(b'{"status_code":200,"message":{"authenticated":true}}', now=0.0, wall_us=RECEIVED_US)
        self.recorder = Recorder(
            Topics(account="bench"),
            account="bench",
            owner="bench",
            version="1",
            shard=0,
            shards=1,
            partitions=12,
            heartbeat_ms=1000,
            form=Encoder(METRIC_UPDATE, 1).varying(VARYING),
        )
        self.encoders = {name: Encoder(name, 1) for name in (METRIC_UPDATE, "source-offset")}
        self._batches = 0

    def __call__(self, frames: list[bytes]) -> None:
        """One batch."""
        self._batches += 1
        for number, frame in enumerate(frames):
            for event in self.session.receive(frame, now=0.0, wall_us=RECEIVED_US + number * 17):
                self.ledger.admit(event)
        items = tuple(self.ledger.queue)
        state = ShardState("bench", 1, self._batches, 1, RECEIVED_US)
        for record in self.recorder.transaction(Batch(0, items, RECEIVED_US), state, RECEIVED_US, {}):
            if type(record.value) is dict:
                self.encoders[record.schema](record.value)
        self.ledger.queue.release(len(items))


def workloads() -> tuple[Callable[[], None], Callable[[], None]]:
    """A batch of `BLOCK` updates through the path, and as many records through fastavro."""
    followed = series(108)
    frames = frames_of(followed)
    path = Route(followed)
    schema = plain(schema_text(METRIC_UPDATE))
    records = [record_of(one, at) for at in range(BLOCK) for one in [followed[at % len(followed)]]]

    def bare() -> None:
        buffer = io.BytesIO()
        for record in records:
            buffer.seek(0)
            buffer.truncate()
            fastavro.schemaless_writer(buffer, schema, record)
            buffer.getvalue()

    return lambda: path(frames), bare


def frames_of(followed: list[Series]) -> list[bytes]:
    """A block of frames, one series after the other."""
    parts = [frame_parts(one) for one in followed]
    return [b"%b%d%b" % (head, at % 997, tail) for at in range(BLOCK) for head, tail in [parts[at % len(parts)]]]


def record_of(one: Series, at: int) -> dict[str, Any]:
    return {
        "event_id": f"bench/{one.name}/1/{at}",
        "account": "bench",
        "family": one.family,
        "metric": one.metric,
        "department_id": one.department_id,
        "window_minutes": one.window,
        "value": float(at % 997),
        "value_raw": str(at % 997),
        "unit": "chats",
        "origin": "update",
        "received_at": RECEIVED_US // 1000,
        "received_at_us": RECEIVED_US,
        "series": one.name,
        "sequence": at,
        "epoch": 1,
        "session_id": "0" * 32,
        "frame": at,
        "batch_id": 1,
    }


def counted() -> None:
    """Under callgrind: each workload once to warm up, then counted."""
    path, bare = workloads()
    for name, work in (("path", path), ("bare", bare), ("nothing", lambda: None)):
        work()
        _dump("before")
        for _ in range(ROUNDS):
            work()
        _dump(name)


def _dump(name: str) -> None:
    """Write the count since the last dump, under this name."""
    subprocess.run(["callgrind_control", f"--dump={name}", str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


def ratio() -> float:
    """Instructions of an update by those of a bare record."""
    with tempfile.TemporaryDirectory(prefix="callgrind-") as folder:
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={folder}/out.%p",
            sys.executable,
            "-m",
            "bench.instructions",
            "counted",
        ]
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONMALLOC": "pymalloc"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        found = dict(_totals(Path(folder)))
    # Asking for a dump costs, too.
    return (found["path"] - found["nothing"]) / (found["bare"] - found["nothing"])


def _totals(folder: Path) -> Iterator[tuple[str, int]]:
    for file in folder.iterdir():
        text = file.read_text()
        name = re.search(r"^desc: Trigger: .*?(path|bare|nothing)", text, re.MULTILINE)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if name and total:
            yield name[1], int(total[1])


def main() -> int:
    """Compare with what is expected."""
    if sys.argv[1:] == ["counted"]:
        counted()
        return 0
    measured = ratio()
    print(f"decode + ledger + encode of an update: {measured:.3f} x a bare fastavro record, expected {EXPECTED} ± 5 %")
    if measured > EXPECTED * (1 + TOLERANCE):
        print("it became slower: find out why")
        return 1
    if measured < EXPECTED * (1 - TOLERANCE):
        print("it became faster: lower EXPECTED, so that the gain is kept")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Frames to Avro to Kafka, nothing else: no ledger, no offsets, no recovery, no headers, nobody watching.

One thread reads the socket; a worker takes all that waits, decodes, encodes and produces it as one transaction.
Usage: bare URL BOOTSTRAP TOPIC SERIES [plain] [fastavro] [picows] [interval=SECONDS]
"""

from __future__ import annotations

import asyncio
import io
import json
import struct
import sys
import threading
import time
from typing import Any

import fastavro
import msgspec
from confluent_kafka import Producer

from bench.series import series
from connector.adapters.framing import Encoder, plain
from connector.adapters.schema_files import schema_text
from connector.protocol.messages import subscribe

HEADER = struct.pack(">bI", 0, 1)


class Content(msgspec.Struct):
    """The payload of a frame."""

    topic: str
    data: dict[str, Any]
    department_id: int | None


class Frame(msgspec.Struct):
    """A frame."""

    content: Content


class Worker:
    """Owns the producer."""

    def __init__(self, bootstrap: str, topic: str, *, transactional: bool, fast: bool, interval: float) -> None:
        more = {"transactional.id": f"{topic}.bare"} if transactional else {}
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 0,
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 1_048_576,
                **more,
            }
        )
        self._transactional = transactional
        self._topic = topic
        self._interval = interval
        self._decode = msgspec.json.Decoder(Frame).decode
        self._schema = plain(schema_text("metric-update"))
        self._encode = Encoder("metric-update", 1) if fast else self._fastavro
        self._waiting: list[bytes] = []
        self._sequence = 0
        if transactional:
            self._producer.init_transactions(30)

    def add(self, frame: bytes) -> None:
        """One more frame."""
        self._waiting.append(frame)

    def run(self) -> None:
        """Until the process ends."""
        while True:
            began = time.monotonic()
            frames, self._waiting = self._waiting, []
            if frames:
                self._send(frames)
            time.sleep(max(0.0005, self._interval - (time.monotonic() - began)))

    def _send(self, frames: list[bytes]) -> None:
        if self._transactional:
            self._producer.begin_transaction()
        for frame in frames:
            self._produce(self._decode(frame).content)
        if self._transactional:
            self._producer.commit_transaction()
        else:
            self._producer.flush()

    def _fastavro(self, value: dict[str, Any]) -> bytes:
        buffer = io.BytesIO()
        buffer.write(HEADER)
        fastavro.schemaless_writer(buffer, self._schema, value)
        return buffer.getvalue()

    def _produce(self, content: Content) -> None:
        ((metric, value),) = content.data.items()
        window = None
        if type(value) is dict:
            ((text, value),) = value.items()
            window = int(text)
        self._sequence += 1
        now_us = time.time_ns() // 1000
        department = content.department_id
        name = f"{content.topic}.{metric}|{window or ''}|{department or ''}"
        record = {
            "event_id": f"bench/{name}/1/{self._sequence}",
            "account": "bench",
            "family": content.topic,
            "metric": metric,
            "department_id": department,
            "window_minutes": window,
            "value": value,
            "value_raw": str(value),
            "unit": "chats",
            "origin": "update",
            "received_at": now_us // 1000,
            "received_at_us": now_us,
            "series": name,
            "sequence": self._sequence,
            "epoch": 1,
            "session_id": "",
            "frame": self._sequence,
            "batch_id": 1,
        }
        key = b"all" if department is None else b"%d" % department
        while True:
            try:
                self._producer.produce(self._topic, self._encode(record), key)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return


async def main() -> None:
    """Connect, subscribe, read."""
    url, bootstrap, topic, count, *options = sys.argv[1:]
    if "picows" in options:
        from picows.websockets.asyncio.client import connect  # noqa: PLC0415 - an extra
    else:
        from websockets.asyncio.client import connect  # noqa: PLC0415 - the other choice
    interval = next((float(one.split("=")[1]) for one in options if one.startswith("interval=")), 0.05)
    worker = Worker(
        bootstrap, topic, transactional="plain" not in options, fast="fastavro" not in options, interval=interval
    )
    threading.Thread(target=worker.run, daemon=True).start()
    async with connect(url, compression=None, max_queue=65536) as socket:
        authenticated = json.loads(await socket.recv())
        if authenticated["status_code"] != 200:
            raise SystemExit(str(authenticated))
        for one in series(int(count)):
            await socket.send(subscribe(one))
        add, recv = worker.add, socket.recv
        while True:
            add(await recv(decode=False))


if __name__ == "__main__":
    asyncio.run(main())

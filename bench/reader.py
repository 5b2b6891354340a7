"""A read_committed reader in a process of its own: counts records and measures how old their values are.

The value of a paced frame is the microsecond at which it was made. ``count`` and ``reset`` come on standard input;
the answers are JSON lines.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from connector.adapters.framing import Decoder
from connector.adapters.schema_files import schema_text

STALE = 60.0
"""Seconds; an older value is none of a paced frame."""


class Reader:
    """Reads one topic to its moving end."""

    def __init__(self, bootstrap: str, topic: str, every: int) -> None:
        self._decode = Decoder(lambda _: schema_text("metric-update"))
        self._every = every
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 5,
                "fetch.min.bytes": 1,
                "fetch.queue.backoff.ms": 1,
                "queued.max.messages.kbytes": 262144,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=20).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, one, 0) for one in partitions])
        self.count = 0
        self.last = 0.0
        self.batch = 0
        self.ages: list[float] = []

    def run(self) -> None:
        while True:
            message = self._consumer.poll(1.0)
            if message is None or message.error():
                continue
            self.last = time.time()
            self.count += 1
            if self.count % self._every == 0:
                record = self._decode(message.value() or b"")
                self.batch = record["batch_id"]
                age = self.last - (record["value"] or 0) / 1e6
                if 0 <= age < STALE:
                    self.ages.append(age)

    def answer(self) -> dict[str, Any]:
        ages = sorted(self.ages)
        spread = {f"p{part}": ages[len(ages) * part // 100] * 1000 for part in (50, 95, 99)} if ages else {}
        return {"count": self.count, "last": self.last, "batch": self.batch, "sampled": len(ages), **spread}


def main() -> None:
    reader = Reader(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    threading.Thread(target=reader.run, daemon=True).start()
    for line in sys.stdin:
        if line.strip() == "reset":
            reader.ages = []
        print(json.dumps(reader.answer()), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()

"""How fast the emulator sends to one connection; what it sends is drained, not read."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from typing import Any

from bench.rig import ROOT, cpu_seconds, end
from bench.series import series
from connector.emulator.settings import DEFAULT_TOKENS
from connector.protocol.messages import subscribe

WAYS = {
    "pre-made updates": ("--blast", "20000"),
    "the simulated account, as fast as it goes": ("--rate", "1000000000"),
}
DEPARTMENTS = 10
ROUNDS = 3


class Drain:
    """One session that subscribes to everything and throws away what comes."""

    def __init__(self, port: int) -> None:
        token = next(token for token, role in DEFAULT_TOKENS.items() if role == "owner")
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(
            (
                f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
                f"Authorization: Bearer {token}\r\n\r\n"
            ).encode()
        )
        self._socket.recv(65536)
        threading.Thread(target=self._read, daemon=True).start()
        for one in series(15):
            self._say(subscribe(one).encode())

    def _say(self, text: bytes) -> None:
        """A masked frame; a mask of zeros leaves the text as it is."""
        size = bytes((0x80 | len(text),)) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        self._socket.sendall(b"\x81" + size + bytes(4) + text)

    def _read(self) -> None:
        buffer = bytearray(1 << 20)
        while self._socket.recv_into(buffer):
            pass

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def emulation(seconds: float) -> list[dict[str, Any]]:
    """Frames a second, counted by the emulator, and its CPU time for each."""
    return [{"source": name, **_measure(options, seconds)} for name, options in WAYS.items()]


def _measure(options: tuple[str, ...], seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "connector", "emulate", "--port=0", "--json", f"--departments={DEPARTMENTS}"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ)
    try:
        ready = json.loads(process.stdout.readline())
        drain = Drain(int(ready["url"].rpartition(":")[2].partition("/")[0]))
        time.sleep(1)
        rates, costs = [], []
        for _ in range(ROUNDS):
            frames, cpu, began = _frames(ready), cpu_seconds(process.pid), time.monotonic()
            time.sleep(seconds)
            frames = _frames(ready) - frames
            rates.append(frames / (time.monotonic() - began))
            costs.append((cpu_seconds(process.pid) - cpu) / max(frames, 1) * 1e6)
        drain.close()
    finally:
        end(process)
    return {"frames_per_second": statistics.median(rates), "cpu_us_per_frame": statistics.median(costs)}


def _frames(ready: dict[str, Any]) -> int:
    with urllib.request.urlopen(f"{ready['control']}/stats", timeout=10) as answer:  # noqa: S310 - the emulator's
        return int(json.load(answer)["frames"])

"""A source that only sends: frames made beforehand, one connection, a process of its own.

Commands come as JSON lines on standard input, answers go to standard output: ``{"wait": N}`` until N series are
subscribed, ``{"send": N}`` as fast as the socket takes them, ``{"rate": R, "seconds": S}`` at a steady rate.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import sys
import threading
import time

from bench.series import frame_parts, series

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TICK = 0.001
BLOCK = 2000
"""Frames that are made beforehand and sent again and again."""


def framed(payload: bytes, opcode: int = 1) -> bytes:
    """An unmasked WebSocket frame."""
    size = len(payload)
    head = bytes((0x80 | opcode, size)) if size < 126 else bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    return head + payload


class Peer:
    """The connector's connection; its frames are read on a thread, because a ping wants its pong at once."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._sending = threading.Lock()
        self._buffer = b""
        self.subscribed = 0
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._shake_hands()
        self.send(framed(b'{"status_code":200,"message":{"authenticated":true}}'))
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, data: bytes | memoryview) -> None:
        with self._sending:
            self._socket.sendall(data)

    def _shake_hands(self) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += self._socket.recv(65536)
        head, self._buffer = request.split(b"\r\n\r\n", 1)
        lines = [line.split(b":", 1) for line in head.split(b"\r\n")[1:]]
        headers = {name.lower(): value.strip() for name, value in lines}
        accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + GUID).digest())  # noqa: S324
        self._socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError
            self._buffer += more
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _read(self) -> None:
        try:
            while True:
                first, second = self._take(2)
                size = second & 127
                if size == 126:
                    size = int.from_bytes(self._take(2), "big")
                mask = self._take(4)
                payload = bytes(byte ^ mask[at & 3] for at, byte in enumerate(self._take(size)))
                if first & 15 == 9:
                    self.send(framed(payload, 10))
                elif first & 15 == 8:
                    self.send(framed(payload, 8))
                    self._socket.shutdown(socket.SHUT_WR)
                    return
                else:
                    self.subscribed += b'"subscribe"' in payload
        except OSError:
            return


class Blaster:
    """Frames of the first ``count`` series, in turn; of so many departments."""

    def __init__(self, count: int, departments: int | None = None) -> None:
        self._parts = [frame_parts(one) for one in series(count, departments)]
        self._next = 0
        frames = [framed(self._payload(at, at % 997)) for at in range(max(BLOCK, count))]
        self._block = [b"".join(frames[at : at + 500]) for at in range(0, len(frames), 500)]
        self._sizes = [len(frames[at : at + 500]) for at in range(0, len(frames), 500)]

    def _payload(self, at: int, value: int) -> bytes:
        head, tail = self._parts[at % len(self._parts)]
        return b"%b%d%b" % (head, value, tail)

    def send(self, peer: Peer, count: int) -> int:
        """At least ``count`` frames, as fast as they are taken."""
        sent = at = 0
        while sent < count:
            peer.send(self._block[at])
            sent += self._sizes[at]
            at = (at + 1) % len(self._block)
        return sent

    def pace(self, peer: Peer, rate: float, seconds: float) -> int:
        """A steady rate; each value is the microsecond at which its frame was made."""
        began = time.monotonic()
        sent = 0
        while (passed := time.monotonic() - began) < seconds:
            due = int(rate * passed) - sent
            if due > 0:
                now_us = time.time_ns() // 1000
                peer.send(b"".join(framed(self._payload(self._next + at, now_us)) for at in range(due)))
                self._next += due
                sent += due
            time.sleep(TICK)
        return sent


def main() -> None:
    count = int(sys.argv[1])
    blaster = Blaster(count, int(sys.argv[2]) or None)
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    peer = Peer(listener.accept()[0])
    for line in sys.stdin:
        command = json.loads(line)
        began = time.time()
        if "wait" in command:
            while peer.subscribed < command["wait"]:
                time.sleep(0.01)
            sent = 0
        elif "send" in command:
            sent = blaster.send(peer, command["send"])
        else:
            sent = blaster.pace(peer, command["rate"], command["seconds"])
        print(json.dumps({"sent": sent, "began": began, "ended": time.time()}), flush=True)


if __name__ == "__main__":
    main()

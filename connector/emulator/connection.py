"""One open WebSocket: sends the session's frames, journals them, and can fail in every way."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import zlib
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import WSMessage, WSMsgType, web

from connector.emulator import frames
from connector.emulator.journal import Journal, frame_heading

if TYPE_CHECKING:
    from connector.emulator.behaviour import Behaviour
    from connector.emulator.frames import Frame
    from connector.emulator.hub import Hub
    from connector.emulator.session import Session

CLOSE_PATIENCE = 1.0
"""Seconds that the client has to answer a close frame before TCP ends."""

ENDED = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class Connection:
    """Carries one `Session` over a transport. Frames are numbered when they are written, not before."""

    def __init__(
        self,
        session: Session,
        transport: asyncio.Transport,
        *,
        number: int,
        token: str | None,
        behaviour: Behaviour,
        journal: Journal | None,
    ) -> None:
        self.session = session
        self.number = number
        self.token = token
        self.frames = 0
        """Data frames sent."""
        self.delay = 0.0
        """Seconds that each frame waits before it is written."""
        self.half_open = False
        self.window_bits = 0
        """Compress every message with this window (permessage-deflate was agreed on); 0 for none."""
        self._transport = transport
        self._behaviour = behaviour
        self._journal = journal
        self._heading = frame_heading(session.id, number)
        self._loop = asyncio.get_running_loop()
        self._delayed: deque[tuple[float, list[Frame]]] = deque()
        self._closing = False
        self._opened = self._heard = self._pinged = self._loop.time()

    @property
    def gone(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closing or self.half_open or self._transport.is_closing()

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client to read."""
        return self._transport.get_write_buffer_size()

    # Receiving

    async def serve(self, hub: Hub, websocket: web.WebSocketResponse) -> None:
        """Answer the client until either side ends the connection."""
        if not self.session.open():
            self.close(1005)
        self.flush()
        while True:
            message = await websocket.receive()
            self._heard = self._loop.time()
            if message.type in ENDED:
                break
            self._answer(hub, message)
        self._end(message)

    def _answer(self, hub: Hub, message: WSMessage) -> None:
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            reply = hub.receive(self.session, message.data)
            self.flush()
            if reply.close:
                self.close(self._behaviour.close_code)
        elif message.type is WSMsgType.PING and not self.gone:
            self._transport.write(frames.wire(frames.PONG, message.data))

    def _end(self, message: WSMessage) -> None:
        if message.type is WSMsgType.CLOSE and not self.gone:
            self._transport.write(frames.close_wire(message.data or 1005))
        self._closing = True
        self._transport.close()

    # Sending

    def flush(self) -> None:
        """Write what the session has to say, or keep it back while the connection is delayed."""
        outbox = self.session.outbox
        if not outbox:
            return
        self.session.outbox = []
        if self.delay or self._delayed:
            self._delayed.append((self._loop.time() + self.delay, outbox))
            self._loop.call_later(self.delay, self._write_delayed)
        else:
            self._write(outbox)

    def _write_delayed(self) -> None:
        while self._delayed and self._delayed[0][0] <= self._loop.time() + 0.001:
            self._write(self._delayed.popleft()[1])

    def _write(self, outbox: list[Frame]) -> None:
        if self.gone:
            return
        if self._journal is not None:
            self._journal.sent(self._heading, self.frames + 1, time.time_ns() // 1000, outbox)
        self.frames += len(outbox)
        wires = [self._packed(one) for one in outbox] if self.window_bits else [one.wire for one in outbox]
        self._transport.write(b"".join(wires))
        limit = self._behaviour.send_buffer << 20
        if limit and self.unsent > limit:
            self._transport.abort()

    def _packed(self, frame: Frame) -> bytes:
        # A fresh context per message is legal whatever was agreed on (RFC 7692 section 7.1.1).
        deflate = zlib.compressobj(wbits=-self.window_bits)
        body = deflate.compress(frame.payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
        return frames.wire(frame.opcode, body[:-4], compressed=True)

    # Ending and failing

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and end when the client answers it, or soon."""
        self.flush()
        if self.gone:
            self._transport.abort()
            return
        self._closing = True
        self._transport.write(frames.close_wire(code, reason))
        self._loop.call_later(CLOSE_PATIENCE, self._transport.close)

    def cut(self) -> None:
        """End TCP without a close frame (FIN)."""
        self._transport.close()

    def reset(self) -> None:
        """End TCP at once (RST)."""
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def freeze(self) -> None:
        """Keep the socket, but neither read nor write: what a lost network looks like."""
        self.half_open = True
        self._transport.pause_reading()

    def tick(self) -> None:
        """Ping, and end what is idle or too old, as the switches say."""
        now, behaviour = self._loop.time(), self._behaviour
        if self.gone:
            return
        if behaviour.ping_interval and now >= self._pinged + behaviour.ping_interval:
            self._pinged = now
            self._transport.write(frames.wire(frames.PING, b""))
        if behaviour.idle_timeout and now >= self._heard + behaviour.idle_timeout:
            self.close(behaviour.close_code, "idle")
        elif behaviour.max_age and now >= self._opened + behaviour.max_age:
            self.close(behaviour.close_code, "too old")

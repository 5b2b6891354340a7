"""One real handshake with the source, closed at once: the only way to know that the token opens the stream."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed

from connector.protocol.session import Session

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from connector.adapters.websocket import Endpoint
    from connector.config import Source


async def shake_hands(endpoint: Endpoint, token: str, session_id: str, source: Source) -> float | None:
    """Open a session, hear what the source says of the token, close. No subscription is sent.

    Returns the seconds by which our clock is ahead of the source's, None if it does not tell its time.

    Raises:
        ConnectorError: it cannot be opened, or the token is refused.
    """
    began = time.time()
    socket = await endpoint.open(token, session_id)
    middle = (began + time.time()) / 2
    try:
        await _hear(socket, session_id, source)
    finally:
        with suppress(OSError, ConnectionClosed):
            await socket.close()
    return _ahead(None if socket.response is None else socket.response.headers.get("Date"), middle)


async def _hear(socket: ClientConnection, session_id: str, source: Source) -> None:
    """The source answers the token in its first frame; silence is no refusal."""
    session = Session(
        session_id,
        (),
        now=time.monotonic(),
        auth_timeout=source.auth_timeout,
        subscribe_rate=source.subscribe_rate,
        unsubscribe=source.unsubscribe,
    )
    with suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(source.auth_timeout):
            frame = await socket.recv(decode=False)
        session.receive(frame, now=time.monotonic(), wall_us=time.time_ns() // 1000)
    if session.error is not None:
        raise session.error


def _ahead(date: str | None, now: float) -> float | None:
    """Seconds between our clock and the middle of the second that the header names."""
    with suppress(TypeError, ValueError):
        return now - parsedate_to_datetime(date or "").timestamp() - 0.5
    return None

"""Drives one `Session` over one WebSocket: with `client`, the only file that knows the WebSocket library."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from connector.adapters.client import CONNECTION_CLOSED, HANDSHAKE_FAILED, INVALID_STATUS, opener
from connector.adapters.reach import said
from connector.domain.events import Closed, Event, Opened, Ponged
from connector.errors import ConnectorError, SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    from connector.protocol.session import Session

SESSION_HEADER: Final = "X-Session-Id"
"""Names our session in the upgrade request, so that the other side's log can be matched with ours."""


class Endpoint:
    """Where the source is and how to reach it.

    Times in seconds, ``max_frame`` in bytes. ``probe_interval``: how often a ping asks for proof that nothing is
    missing; ``ping_interval`` and ``ping_timeout`` are the library's keepalive, which finds a dead peer.
    ``client`` names the library: websockets, or picows, which has to be installed.

    Raises:
        ConfigError: the library is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        open_timeout: float,
        ping_interval: float,
        ping_timeout: float,
        probe_interval: float,
        max_frame: int,
        compression: bool,
        tls: ssl.SSLContext | None,
        client: str = "websockets",
    ) -> None:
        self._connect = opener(client)
        self.url = url
        self.probe_interval = probe_interval
        self._options: dict[str, Any] = {
            "open_timeout": open_timeout,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": 0.5,
            "max_size": max_frame,
            # The socket is always read; what waits, waits in the ledger, where it is counted and bounded.
            "max_queue": 65_536,
            "compression": "deflate" if compression else None,
            "user_agent_header": "zendesk-chat-kafka",
            "proxy": None,
        }
        if tls is not None:
            self._options["ssl"] = tls

    async def open(self, token: str, session_id: str) -> ClientConnection:
        """One handshake; redirects are not followed, so that the token reaches no other host.

        Raises:
            SourceUnavailable: with the reason for the gap and the wait that the source asked for.
        """
        headers = {"Authorization": f"Bearer {token}", SESSION_HEADER: session_id}
        try:
            return await self._connect(self.url, additional_headers=headers, **self._options)
        except INVALID_STATUS as error:
            raise _refused(self.url, error) from error
        except HANDSHAKE_FAILED as error:
            raise SourceUnavailable(f"source {self.url}: no WebSocket there: {error}") from error
        except ssl.SSLError as error:
            raise SourceUnavailable(f"source {self.url}: TLS: {error}; check source.ca_file") from error
        except OSError as error:
            raise SourceUnavailable(f"source {self.url}: {said(error)}; check source and network") from error


async def run_session(
    endpoint: Endpoint,
    token: str,
    session_id: str,
    make_session: Callable[[float], Session],
    emit: Callable[[Event], None],
    *,
    opened: Callable[[Session, asyncio.Event], None],
    take_over: Callable[[], Awaitable[None]],
) -> ConnectorError:
    """Open, subscribe, read until the end; every event is emitted in order, `Closed` last.

    ``opened`` receives the session and an event to set after changing its subscriptions. ``take_over`` is awaited
    after the source's first frame (or its absence), before anything is emitted: then an older session may end.
    Returns the error that ended the session.

    Raises:
        SourceUnavailable: the session could not be opened; nothing was emitted.
    """
    socket = await endpoint.open(token, session_id)
    session = make_session(time.monotonic())
    try:
        first = await _first_frame(socket, session)
        await take_over()
    except BaseException:
        await asyncio.shield(_shut(socket))
        raise
    changed = asyncio.Event()
    proof = _Proof(_wall_us())
    emit(Opened(session_id, proof.through_us))
    opened(session, changed)
    for event in first:
        emit(event)
    error: ConnectorError = SourceUnavailable(f"source {endpoint.url}: session ended")
    tasks = [
        asyncio.create_task(_write(socket, session, changed, emit), name="write"),
        asyncio.create_task(_probe(socket, session_id, endpoint.probe_interval, proof, emit), name="probe"),
    ]
    try:
        error = await _read(socket, session, changed, emit)
    except asyncio.CancelledError as cancelled:
        # Whoever replaces the session says why; without a word the process ends.
        why = str(cancelled)
        error = SourceUnavailable(why or "stopped", reason="replaced" if why else "restart")
        raise
    finally:
        # First of all, without a pause: a second cancellation must not keep the gap from being declared.
        for task in tasks:
            task.cancel()
        emit(Closed(session_id, getattr(error, "reason", "disconnect"), str(error), proof.through_us, _wall_us()))
        await asyncio.shield(_end(socket, tasks))
    return error


async def _first_frame(socket: ClientConnection, session: Session) -> list[Event]:
    """What the first frame says: the answer to the token. Its absence is no refusal.

    Raises:
        SourceUnavailable: the token was refused, or the source closed at once.
    """
    timer = session.next_timer()
    deadline = time.monotonic() if timer is None else timer
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            frame = await socket.recv(decode=False)
    except TimeoutError:
        return session.handle_timer(max(time.monotonic(), deadline), _wall_us())
    except CONNECTION_CLOSED as error:
        raise SourceUnavailable(f"source closed the session: {_closing(error)}") from error
    events = session.receive(frame, now=time.monotonic(), wall_us=_wall_us())
    if session.error is not None:
        raise session.error
    return events


class _Proof:
    """The newest instant up to which the session is known to be whole: when the last answered ping was sent.

    The receipt of a frame proves less than it seems: what the source sent meanwhile is still on its way.
    """

    __slots__ = ("through_us",)

    def __init__(self, through_us: int) -> None:
        self.through_us = through_us


async def _read(
    socket: ClientConnection,
    session: Session,
    changed: asyncio.Event,
    emit: Callable[[Event], None],
) -> ConnectorError:
    receive = session.receive
    state = session.state
    recv = socket.recv
    monotonic = time.monotonic
    wall_ns = time.time_ns
    try:
        while True:
            frame = await recv(decode=False)
            wall_us = wall_ns() // 1000
            for event in receive(frame, now=monotonic(), wall_us=wall_us):
                emit(event)
            if session.state is not state:
                state = session.state
                if session.error is not None:
                    return session.error
                changed.set()
    except CONNECTION_CLOSED as error:
        return SourceUnavailable(f"source closed the session: {_closing(error)}")


async def _write(
    socket: ClientConnection, session: Session, changed: asyncio.Event, emit: Callable[[Event], None]
) -> None:
    """Send what the session wants sent, when it wants it, and wake its timers."""
    while session.error is None:
        now = time.monotonic()
        for event in session.handle_timer(now, _wall_us()):
            emit(event)
        try:
            for message in session.messages_to_send(now):
                await socket.send(message)
        except CONNECTION_CLOSED:
            return
        timer = session.next_timer()
        wait = None if timer is None else max(0.0, timer - time.monotonic())
        try:
            async with asyncio.timeout(wait):
                await changed.wait()
            changed.clear()
        except TimeoutError:
            pass


async def _probe(
    socket: ClientConnection, session_id: str, interval: float, proof: _Proof, emit: Callable[[Event], None]
) -> None:
    """Ping for proof: what the source sent before its pong has been received, for TCP keeps the order.

    Frames that arrived together with the pong wake the reader before they wake this task, and the reader does not
    pause while frames wait; one turn of the loop makes that independent of the library's inner order.
    """
    while True:
        sent_us = _wall_us()
        try:
            waiter = await socket.ping()
            rtt = await waiter
        except CONNECTION_CLOSED:
            return
        await asyncio.sleep(0)
        proof.through_us = max(proof.through_us, sent_us)
        emit(Ponged(session_id, sent_us, rtt * 1000))
        await asyncio.sleep(interval)


async def _end(socket: ClientConnection, tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await _shut(socket)


async def _shut(socket: ClientConnection) -> None:
    try:
        await socket.close()
    except (OSError, *CONNECTION_CLOSED):  # type: ignore[misc]
        return


def _refused(url: str, error: InvalidStatus) -> SourceUnavailable:
    status = error.response.status_code
    retry_after = _seconds(error.response.headers.get("Retry-After"))
    if status in (401, 403):
        text = f"source {url}: HTTP {status}: token refused; check source.token_file and the token's role"
        return SourceUnavailable(text, reason="auth", retry_after=retry_after)
    if status == 429:
        text = f"source {url}: HTTP 429: too many requests or connections for this account or agent"
        return SourceUnavailable(text, reason="throttled", retry_after=retry_after)
    if 300 <= status < 400:
        return SourceUnavailable(f"source {url}: HTTP {status}: redirects are not followed; correct source.url")
    return SourceUnavailable(f"source {url}: HTTP {status}", retry_after=retry_after)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After as seconds; the HTTP-date form is not used by this source and counts as absent."""
    try:
        return max(0.0, float(retry_after)) if retry_after is not None else None
    except ValueError:
        return None


def _closing(error: ConnectionClosed) -> str:
    close = error.rcvd or error.sent
    if close is None:
        return "connection lost"
    return f"code {close.code}{f' ({close.reason})' if close.reason else ''}"


def _wall_us() -> int:
    return time.time_ns() // 1000

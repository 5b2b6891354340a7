"""A TCP proxy that fails on command, in Toxiproxy's vocabulary, plus half-open, and stall-then-release.

One thread with an event loop serves all proxies of a `Network`; every method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

HOST = "127.0.0.1"
CHUNK = 65_536
PRODUCE, ADD_PARTITIONS, END_TXN = 0, 24, 26
"""Kafka's numbers of the requests that a transaction consists of."""

Tap = Callable[["Link", int], Literal["hold", "drop"] | None]
"""Called with each request of a Kafka client before it is forwarded, on the network's thread.

hold: this request and what follows it on the link wait for `Proxy.release`, and the client is cut off.
drop: the link ends here; the server never sees the request.
"""


@dataclass(frozen=True)
class Toxics:
    """What happens to the bytes of one direction. Seconds and bytes."""

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    """Bytes a second."""
    slow_close: float = 0.0
    timeout: float | None = None
    """Nothing gets through; the link is closed after so long, 0 is never."""
    reset_peer: float | None = None
    """RST so long after the first byte."""
    slicer: tuple[int, float] | None = None
    """Pieces of so many bytes, so far apart."""
    limit_data: int | None = None
    """Bytes after which the link is closed."""


class Network:
    """The thread in which proxies live; a context manager."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)
        self._proxies: list[Proxy] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self._proxies:
            proxy.down()
        self.run(self._cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def proxy(self, upstream: int, *, kafka: bool = False) -> Proxy:
        """A proxy on a free port in front of a loopback port; ``kafka`` cuts the way up into requests."""
        proxy = Proxy(self, upstream, kafka=kafka)
        proxy.up()
        self._proxies.append(proxy)
        return proxy

    def run(self, coroutine: Any) -> Any:
        """The result of a coroutine on the network's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _cancel(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Link:
    """One client's connection and the one behind it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.client = client
        self.server = server
        self.began = time.monotonic()
        self.held: list[bytes] | None = None
        """What waits for the release; None unless the link is stalled."""
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.passed = {"up": 0, "down": 0}

    def hold(self, rest: bytes = b"") -> None:
        """Keep what comes from now on, cut the client off, and leave the server in the belief that it is there."""
        self.held = [rest] if rest else []
        reset(self.client)

    def release(self) -> None:
        """The held bytes arrive late."""
        held, self.held = self.held or [], None
        if not self.server.is_closing():
            self.server.write(b"".join(held))
            asyncio.get_running_loop().call_later(2.0, self.server.close)

    def cut(self) -> None:
        """RST to both sides."""
        reset(self.client)
        reset(self.server)


class Proxy:
    """One port in front of another."""

    def __init__(self, network: Network, upstream: int, *, kafka: bool) -> None:
        self.upstream = upstream
        self.port = 0
        self.toxics = {"up": Toxics(), "down": Toxics()}
        self.tap: Tap | None = None
        self._network = network
        self._kafka = kafka
        self._frozen = False
        self._links: set[Link] = set()
        self._stalled: set[Link] = set()
        self._server: asyncio.Server | None = None

    # Faults.

    def poison(self, direction: Literal["up", "down", "both"] = "both", **toxics: Any) -> None:
        """Change toxics of one or both directions."""
        for one in ("up", "down") if direction == "both" else (direction,):
            self.toxics[one] = replace(self.toxics[one], **toxics)

    def heal(self) -> None:
        """No toxic, no tap, nothing frozen, and the port open."""
        self.toxics = {"up": Toxics(), "down": Toxics()}
        self.tap = None
        self.thaw()
        self.up()

    def up(self) -> None:
        """Accept connections."""
        self._network.run(self._open())

    def down(self) -> None:
        """Refuse connections, and reset those there are."""
        self._network.run(self._close())

    def cut(self) -> None:
        """Reset every connection; new ones are served."""
        self._network.run(self._each(Link.cut))

    def freeze(self) -> None:
        """Half-open: connections stay, new ones are accepted, and nothing gets through any more."""
        self._frozen = True
        self._network.run(self._each(lambda link: link.flowing.clear()))

    def thaw(self) -> None:
        """End `freeze`: what waited arrives late."""
        self._frozen = False
        self._network.run(self._each(lambda link: link.flowing.set()))

    def stall(self) -> None:
        """Hold the bytes of the connections there are and cut their clients off; new connections are served."""
        self._network.run(self._each(self._stall))

    def release(self) -> None:
        """Let the held bytes arrive."""
        self._network.loop.call_soon_threadsafe(self.release_now)

    def release_now(self) -> None:
        """As `release`, from the network's thread, which a tap is on."""
        stalled, self._stalled = self._stalled, set()
        for link in stalled:
            link.release()

    @property
    def links(self) -> int:
        """Connections there are."""
        return len(self._links)

    # On the network's thread.

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._each(Link.cut)

    async def _each(self, change: Callable[[Link], object]) -> None:
        for link in list(self._links):
            change(link)

    def _stall(self, link: Link, rest: bytes = b"") -> None:
        self._stalled.add(link)
        link.hold(rest)

    async def _serve(self, from_client: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            from_server, server = await asyncio.open_connection(HOST, self.upstream)
        except OSError:
            reset(client)
            return
        link = Link(self, client, server)
        if self._frozen:
            link.flowing.clear()
        self._links.add(link)
        ways = [
            asyncio.create_task(self._pass(link, from_client, server, "up")),
            asyncio.create_task(self._pass(link, from_server, client, "down")),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            self._links.discard(link)
            for writer in (client, server):
                if link.held is None:
                    writer.close()

    async def _pass(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        pieces = requests(reader) if self._kafka and direction == "up" else chunks(reader)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async for key, data in pieces:
                verdict = self._verdict(link, key)
                if verdict == "hold":
                    self._stall(link, data)
                    return
                if verdict == "drop" or not await self._forward(link, writer, data, direction):
                    link.cut()
                    return
        if link.held is not None:
            return
        await asyncio.sleep(self.toxics[direction].slow_close)
        if writer.can_write_eof() and not writer.is_closing():
            with contextlib.suppress(OSError):
                writer.write_eof()

    def _verdict(self, link: Link, key: int | None) -> str | None:
        return None if key is None or self.tap is None else self.tap(link, key)

    async def _forward(self, link: Link, writer: asyncio.StreamWriter, data: bytes, direction: str) -> bool:
        """False if the link has to end."""
        await link.flowing.wait()
        toxics = self.toxics[direction]
        if toxics.timeout is not None:
            await asyncio.sleep(toxics.timeout or 3600.0)
            return False
        if toxics.reset_peer is not None:
            await asyncio.sleep(max(0.0, toxics.reset_peer - (time.monotonic() - link.began)))
            return False
        if toxics.limit_data is not None:
            data = data[: max(0, toxics.limit_data - link.passed[direction])]
        await asyncio.sleep(max(0.0, toxics.latency + random.uniform(-1, 1) * toxics.jitter))
        for piece in sliced(data, toxics):
            if toxics.bandwidth:
                await asyncio.sleep(len(piece) / toxics.bandwidth)
            await link.flowing.wait()
            if link.held is not None:
                if direction == "up":
                    link.held.append(piece)
                continue
            writer.write(piece)
            await writer.drain()
            link.passed[direction] += len(piece)
            if toxics.slicer is not None:
                await asyncio.sleep(toxics.slicer[1])
        return toxics.limit_data is None or link.passed[direction] < toxics.limit_data


async def chunks(reader: asyncio.StreamReader) -> Any:
    """What arrives, as it arrives."""
    while data := await reader.read(CHUNK):
        yield None, data


async def requests(reader: asyncio.StreamReader) -> Any:
    """The requests of a Kafka client: their number and their bytes."""
    while True:
        head = await reader.readexactly(6)
        size, key = struct.unpack(">ih", head)
        yield key, head + await reader.readexactly(size - 2)


def sliced(data: bytes, toxics: Toxics) -> list[bytes]:
    """The pieces in which data goes on."""
    size = toxics.slicer[0] if toxics.slicer else int(toxics.bandwidth / 10) + 1 if toxics.bandwidth else len(data)
    return [data[at : at + size] for at in range(0, len(data), max(1, size))]


def reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

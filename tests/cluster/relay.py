"""Passes on what is connected to listening sockets to the same ports of this machine's loopback.

`python relay.py FD…`: a process of its own, since the sockets belong to another network namespace and much flows
through them. A line `cut PORT` on its standard input ends that port's connections and lets none come, `mend PORT` lets
them come again. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

CUT = set()
"""Ports that nobody gets through to."""
OPEN = {}
"""Writers of each port's connections."""


async def main(handles: list[int]) -> None:
    servers = []
    for handle in handles:
        inner = socket.socket(fileno=handle)
        servers.append(await asyncio.start_server(relay_to(inner.getsockname()[1]), sock=inner))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        what, port = line.split()
        steer(what, int(port))
    for server in servers:
        server.close()


def steer(what, port):
    if what == "mend":
        CUT.discard(port)
        return
    CUT.add(port)
    for writer in OPEN.get(port, set()):
        writer.close()


def relay_to(port):
    async def accepted(reader, writer):
        if port in CUT:
            writer.close()
            return
        try:
            outer_reader, outer_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        ends = {writer, outer_writer}
        OPEN.setdefault(port, set()).update(ends)
        await asyncio.gather(pass_on(reader, outer_writer), pass_on(outer_reader, writer))
        OPEN[port] -= ends

    return accepted


async def pass_on(reader, writer):
    """Until one end closes; then the other is closed too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(main([int(argument) for argument in sys.argv[1:]]))

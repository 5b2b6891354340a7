"""Passes on what is connected to listening sockets to the same ports of this machine's loopback.

`python relay.py FD…`: a process of its own, since the sockets belong to another network namespace and much flows
through them. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys


async def main(handles: list[int]) -> None:
    servers = []
    for handle in handles:
        inner = socket.socket(fileno=handle)
        servers.append(await asyncio.start_server(relay_to(inner.getsockname()[1]), sock=inner))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for server in servers:
        server.close()


def relay_to(port):
    async def accepted(reader, writer):
        try:
            outer_reader, outer_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pass_on(reader, outer_writer), pass_on(outer_reader, writer))

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

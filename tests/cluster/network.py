"""A network namespace for each pod. Servers of this machine stay on loopback: what a pod's own loopback hears on
their ports is passed on to them from outside, and probes knock at the pod's address from inside."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from chart.tools import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CLONE_NEWNET = 0x40000000
RELAY = Path(__file__).with_name("relay.py")
Result = TypeVar("Result")


class Network:
    """One namespace, with loopback and an address of its own."""

    def __init__(self, name: str, address: str, ports: Iterable[int]) -> None:
        self.name = name
        self.address = address
        run("ip", "netns", "add", name)
        # Not every kernel has other devices than loopback.
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "addr", "add", f"{address}/32", "dev", "lo")
        listening = [self.inside(lambda port=port: socket.create_server(("127.0.0.1", port))) for port in ports]
        handles = [server.fileno() for server in listening]
        command = [sys.executable, RELAY, *map(str, handles)]
        self._relay = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=handles, start_new_session=True)
        for server in listening:
            server.close()

    def cut(self, port: int) -> None:
        """Let nothing through to that server any more, until `mend`."""
        self._steer("cut", port)

    def mend(self, port: int) -> None:
        """As before `cut`."""
        self._steer("mend", port)

    def _steer(self, what: str, port: int) -> None:
        self._relay.stdin.write(f"{what} {port}\n".encode())
        self._relay.stdin.flush()

    def close(self) -> None:
        self._relay.kill()
        self._relay.communicate()
        run("ip", "netns", "delete", self.name)

    def connect(self, port: int, seconds: float) -> socket.socket:
        """A connection from inside to the pod's address."""
        return self.inside(lambda: socket.create_connection((self.address, port), timeout=seconds))

    def inside(self, action: Callable[[], Result]) -> Result:
        """What the action gives in this namespace; a socket stays in the namespace in which it was made."""
        results: list[Result | BaseException] = []

        def act() -> None:
            try:
                _enter(self.name)
                results.append(action())
            except BaseException as error:  # noqa: BLE001 - raised again below, on the thread that asked
                results.append(error)

        thread = threading.Thread(target=act)
        thread.start()
        thread.join()
        (result,) = results
        if isinstance(result, BaseException):
            raise result
        return result


def _enter(name: str) -> None:
    """Move this thread, which must end afterwards."""
    handle = os.open(f"/var/run/netns/{name}", os.O_RDONLY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if library.setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {name}")
    finally:
        os.close(handle)

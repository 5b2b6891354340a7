"""A server program on this machine: started with its output in a file, and never left behind."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from connector.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

HOST = "127.0.0.1"
# Below the range from which systems take the ports of outgoing connections.
_PORTS = range(20_000, 32_000)
# Reads until the pipe from us closes without a word: then we are dead, and so must the server be.
# A parent-death signal would fire when the starting thread ends, and exists on Linux only.
_GUARD = 'trap "" INT TERM HUP; read -r _ || kill -KILL "$1"'
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_taken: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on and that this process was not given before."""
    for _ in range(1_000):
        port = random.choice(_PORTS)
        if port not in _taken and not _bound(port):
            _taken.add(port)
            return port
    raise LocalError(f"no free port between {_PORTS.start} and {_PORTS.stop} on {HOST}: stop some servers")


def _bound(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def listening(port: int) -> bool:
    """Whether somebody accepts connections on the loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals wait until what is made here is known to the one who is to end it."""
    if threading.current_thread() is not threading.main_thread():
        # Signals are handled in the main thread only.
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda one, _: came.append(one)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)


class Process:
    """One server process. Signals of the terminal do not reach it; it dies at once if this process does."""

    def __init__(self, name: str, command: Sequence[str], *, log: Path, folder: Path) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._server is not None and self._server.poll() is None

    @property
    def started(self) -> bool:
        """Whether it was started and not stopped or killed by us; it may have ended by itself."""
        return self._server is not None

    @property
    def pid(self) -> int:
        """Its process id; LocalError if it was never started."""
        return self._running().pid

    def start(self) -> None:
        """Start it, appending to its log; LocalError if the program cannot be run."""
        if self.alive:
            return
        with uninterrupted():
            self._launch()

    def _launch(self) -> None:
        try:
            with self.log.open("ab") as output:
                self._server = subprocess.Popen(
                    self._command,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise LocalError(f"{self.name} cannot be started: {error}") from error
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self._server.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait for `ready`; LocalError with the end of its log if it ends first or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.require_alive()
            if time.monotonic() > deadline:
                raise LocalError(f"{self.name} was not ready after {seconds:.0f} s; see its log {self.log}")
            time.sleep(0.05)

    def require_alive(self) -> None:
        """LocalError with the end of its log if it has ended."""
        if not self.alive:
            raise LocalError(f"{self.name} has ended; its log {self.log} says: {self._last_line()}")

    def stop(self, *, grace: float = 30) -> None:
        """Ask it to end; kill it after `grace` seconds."""
        if self.alive:
            self.resume()
            self._running().terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._running().wait(grace)
        self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        server, self._server = self._server, None
        if server is not None:
            server.kill()
            server.wait()
        self._release_guard()

    def pause(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections stay open and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._server is None:
            raise LocalError(f"{self.name} was not started")
        return self._server

    def _release_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            with contextlib.suppress(BrokenPipeError):
                guard.communicate(b"\n")

    def _last_line(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "empty"

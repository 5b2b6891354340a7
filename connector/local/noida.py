"""The demo's broker: one small program from PyPI that speaks Kafka's protocol, transactions included."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Self

from connector.errors import LocalError
from connector.local.process import HOST, Process, free_port, listening, uninterrupted


class Noida:
    """An embedded broker on a free loopback port; everything written is gone after `stop`."""

    describe = (
        "noida-db stands in for Kafka on this machine: transactions, read_committed and fencing work, but it is"
        " one process without replication, it never aborts a transaction by timeout, and it proves nothing about"
        " your cluster."
    )

    def __init__(self) -> None:
        installed = _installed()
        self._port = free_port()
        with uninterrupted():
            self._folder = Path(tempfile.mkdtemp(prefix="noida-"))
            # An interrupt may come before anybody can call `stop`.
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        self.process = Process(
            "noida-db",
            [str(_executable(installed, self._folder)), *_arguments(self._folder / "data", self._port)],
            log=self._folder / "server.log",
            folder=self._folder,
        )
        # What is registered last runs first: a server that lives would write into its folder again.
        atexit.register(self.process.kill)

    @property
    def bootstrap(self) -> str:
        """The `bootstrap.servers` of clients."""
        return f"{HOST}:{self._port}"

    def start(self, *, seconds: float = 20) -> Self:
        """Start it and wait until it accepts connections; LocalError names its log otherwise."""
        try:
            self.process.start()
            self.process.wait_until(lambda: listening(self._port), seconds=seconds)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it and delete its data."""
        # It saves its data when asked to end, which takes long and serves nobody.
        self.process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()


def _arguments(data: Path, port: int) -> list[str]:
    return ["start", "--host", HOST, "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(data)]


def _installed() -> Path:
    spec = importlib.util.find_spec("noida_db")
    if spec is None or spec.origin is None:
        raise LocalError(
            "the demo's broker, noida-db, is not installed: pip install 'zendesk-chat-kafka[demo]';"
            " where no wheel exists for the platform use --broker kafka (needs Java 17 and Maven)"
        )
    return Path(spec.origin).with_name("noida-db")


def _executable(installed: Path, folder: Path) -> Path:
    if os.access(installed, os.X_OK):
        return installed
    # Installers may drop the executable bit, and the package's folder may not be ours to change.
    copy = folder / installed.name
    shutil.copyfile(installed, copy)
    copy.chmod(0o700)
    return copy

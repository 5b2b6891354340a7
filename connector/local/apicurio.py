"""The Apicurio schema registry on this machine, with its data in memory."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self

from connector.errors import LocalError
from connector.local import maven
from connector.local.process import HOST, Process, free_port


class Apicurio:
    """A schema registry that speaks the Confluent REST interface (v7) and judges compatibility."""

    def __init__(self, *, heap_mb: int = 256) -> None:
        app = maven.apicurio_app()
        self._port = free_port()
        command = [*_command(heap_mb, self._port), "-jar", str(_program(app))]
        self._folder = Path(tempfile.mkdtemp(prefix="apicurio-"))
        self.process = Process(
            "apicurio registry",
            command,
            log=self._folder / "server.log",
            folder=app,
        )

    @property
    def url(self) -> str:
        """Base address for a schema registry client."""
        return f"http://{HOST}:{self._port}/apis/ccompat/v7"

    def start(self, *, seconds: float = 120) -> Self:
        """Start it and wait until it answers; LocalError names its log otherwise."""
        self.process.start()
        try:
            self.process.wait_until(self._answers, seconds=seconds)
        except BaseException:
            self.process.kill()
            raise
        return self

    def stop(self) -> None:
        """Stop it; its schemas are gone."""
        self.process.stop(grace=10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        connection = HTTPConnection(HOST, self._port, timeout=5)
        with contextlib.suppress(OSError, HTTPException), contextlib.closing(connection):
            connection.request("GET", "/apis/ccompat/v7/subjects")
            return connection.getresponse().status == 200
        return False


def _program(app: Path) -> Path:
    for jar in app.glob("*-runner.jar"):
        return jar
    raise LocalError(f"{app} is incomplete: delete it and try again")


def _command(heap_mb: int, port: int) -> list[str]:
    return [
        maven.java(),
        f"-Xmx{heap_mb}m",
        "-XX:ActiveProcessorCount=2",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        f"-Dquarkus.http.host={HOST}",
        f"-Dquarkus.http.port={port}",
    ]

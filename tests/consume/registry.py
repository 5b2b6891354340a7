"""A front before the real registry, which answers as some registries do, and counts what it is asked."""

from __future__ import annotations

import contextlib
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Front(BaseHTTPRequestHandler):
    """``refusals``: part of a path -> the status that it gets; ``asked``: the paths so far.

    ``last``: parts of paths; once each was answered, nobody gets an answer any more.
    """

    target = ""
    refusals: dict[str, int]
    asked: list[str]
    last: tuple[str, ...]

    def do_GET(self):
        self._forward(None)

    def do_POST(self):
        self._forward(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    do_PUT = do_POST  # noqa: N815 - the name is given by http.server

    def _forward(self, body):
        if self.last and all(any(part in path for path in self.asked) for part in self.last):
            self.close_connection = True
            return
        self.asked.append(self.path)
        refused = [status for part, status in self.refusals.items() if part in self.path]
        if refused:
            self._answer(refused[0], b'{"error_code": %d, "message": "refused"}' % (100 * refused[0] + 1))
            return
        kind = {"Content-Type": self.headers.get("Content-Type", "application/json")}
        request = urllib.request.Request(self.target + self.path, body, kind, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                self._answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                self._answer(error.code, error.read())

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def front(
    target: str, asked: list[str] | None = None, port: int = 0, last: tuple[str, ...] = (), **refusals: int
) -> Iterator[str]:
    """The address of a front; ``associations=405`` refuses every path that contains that word."""
    fields = {"target": target, "refusals": refusals, "asked": [] if asked is None else asked, "last": last}
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Fronted", (Front,), fields))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

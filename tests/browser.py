"""A headless Chromium, steered through its own DevTools protocol: one page, its console and its requests."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING

from websockets.sync.client import connect

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"),
    *("--force-color-profile=srgb", "--hide-scrollbars"),
)
ERRORS = ("error", "assert")
LEAVING = ("Inspected target navigated", "Execution context was destroyed", "Cannot find context")
"""What a page answers that is just being left for another."""


class LeavingError(AssertionError):
    """The page was left before it answered."""


class Browser:
    """One tab. ``problems`` are errors of the console and uncaught exceptions; ``requests`` every URL asked for."""

    def __init__(self, folder: Path):
        self.problems = []
        self.requests = []
        self._next = 0
        self._answers = {}
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self):
        with ExitStack() as stack:
            log = stack.enter_context((self._folder / "chromium.log").open("wb"))
            profile = self._folder / "profile"
            command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
            stack.callback(_end, subprocess.Popen(command, stdout=log, stderr=log))
            address = f"http://127.0.0.1:{_port(profile / 'DevToolsActivePort')}/json"
            with urllib.request.urlopen(address, timeout=10) as answer:
                tab = next(one for one in json.load(answer) if one["type"] == "page")
            self._socket = stack.enter_context(connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None))
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    # Protocol.

    def call(self, method, **parameters):
        self._next += 1
        number = self._next
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while number not in self._answers:
            self._receive(30)
        answer = self._answers.pop(number)
        if any(text in str(answer.get("error")) for text in LEAVING):
            raise LeavingError(f"{method}: {answer}")
        assert "error" not in answer, f"{method}: {answer}"
        return answer["result"]

    def _receive(self, timeout):
        message = json.loads(self._socket.recv(timeout))
        if "id" in message:
            self._answers[message["id"]] = message
            return
        method, parameters = message["method"], message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(parameters["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ERRORS:
            self.problems.append(parameters["args"])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.problems.append(parameters["entry"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    # A person's acts.

    def window(self, width, height, *, dark=False, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def goto(self, url):
        self.call("Page.navigate", url=url)

    def evaluate(self, expression):
        done = self._evaluate(expression)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def _evaluate(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)

    def wait(self, expression, seconds=20.0):
        """Poll until the expression gives something true; on a page that is still loading it may fail."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(LeavingError):
                done = self._evaluate(expression)
                found = "exceptionDetails" not in done and done["result"].get("value")
                if found:
                    return found
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {expression}; {self.problems}")

    def type(self, selector, text):
        self.evaluate(f"document.querySelector({selector!r}).focus(), document.querySelector({selector!r}).select()")
        self.call("Input.insertText", text=text)

    def click(self, selector):
        self.evaluate(f"document.querySelector({selector!r}).click()")

    def text(self, selector):
        return self.evaluate(f"document.querySelector({selector!r}).innerText")

    def screenshot(self, file: Path, *, whole=False):
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))


def _port(file):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if file.exists() and file.read_text().count("\n"):
            return int(file.read_text().splitlines()[0])
        time.sleep(0.05)
    raise AssertionError("Chromium did not start")


def _end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

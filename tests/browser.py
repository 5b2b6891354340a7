"""A headless Chromium, driven by Playwright: one page, its console and its requests.

Playwright's loop runs on a thread of its own, since the tests run loops too.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

from playwright.sync_api import Error, sync_playwright

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb")
PROBLEMS = ("error", "warning", "assert")
SECONDS = 30


class Browser:
    """One tab. ``problems`` are errors of the console and uncaught exceptions; ``requests`` every URL asked for."""

    def __init__(self, folder: Path):
        self.problems = []
        self.requests = []
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, "playwright")
        self._stack = ExitStack()

    def __enter__(self):
        self._on(self._open)
        return self

    def __exit__(self, *_):
        self._on(self._stack.close)
        self._thread.shutdown()

    def _on(self, act, *arguments, **options):
        return self._thread.submit(act, *arguments, **options).result(SECONDS * 2)

    def _open(self):
        with ExitStack() as stack:
            playwright = stack.enter_context(sync_playwright())
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=SECONDS * 1000)
            stack.callback(chromium.close)
            self._page = chromium.new_page()
            self._page.set_default_timeout(SECONDS * 1000)
            self._page.on("console", self._hear)
            self._page.on("pageerror", lambda error: self.problems.append(str(error)))
            self._page.on("request", lambda request: self.requests.append(request.url))
            self._protocol = self._page.context.new_cdp_session(self._page)
            self._stack = stack.pop_all()

    def _hear(self, message):
        if message.type in PROBLEMS:
            self.problems.append(f"{message.text} ({message.location})")

    def call(self, method, **parameters):
        """A method of the DevTools protocol that Playwright has no word for."""
        return self._on(self._protocol.send, method, parameters)

    # A person's acts.

    def window(self, width, height, *, dark=False, phone=False):
        self._on(self._page.set_viewport_size, {"width": width, "height": height})
        # Playwright makes a phone of a whole context only.
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self._on(self._page.emulate_media, color_scheme="dark" if dark else "light")

    def goto(self, url):
        self._on(self._page.goto, url, wait_until="commit")

    def evaluate(self, expression):
        return self._on(self._page.evaluate, expression)

    def wait(self, expression, seconds=20.0):
        """Poll until the expression gives something true; on a page that is still loading it may fail."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(Error):
                found = self.evaluate(expression)
                if found:
                    return found
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {expression}; {self.problems}")

    def press(self, key):
        self._on(self._page.keyboard.press, key)

    def insert(self, text):
        """Into what has the focus."""
        self._on(self._page.keyboard.insert_text, text)

    def type(self, selector, text):
        self._on(self._page.locator(selector).fill, text)

    def click(self, selector):
        self.evaluate(f"document.querySelector({selector!r}).click()")

    def text(self, selector):
        return self._on(self._page.locator(selector).first.inner_text)

    def screenshot(self, file: Path, *, whole=False):
        self._on(self._page.screenshot, path=file, full_page=whole)

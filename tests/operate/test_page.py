"""The status page of a real connector behind the emulator: the whole way from a frame to what a person sees."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from figures import tell
from waiting import wait_until

from connector.local.process import free_port

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")

DEPARTMENTS = 200
SERIES = f"{18 * (DEPARTMENTS + 1):,}"
CONFIG = {"subscriptions": [{"metrics": ["chats.*", "agents.*"], "windows": [30, 60], "departments": ["all", "*"]}]}
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
SIZES = {"desktop": (1360, 900), "phone": (390, 844)}
SHOTS = os.environ.get("SCREENSHOTS")
"""Folder that keeps the pictures of the page, for whoever wants to look at it."""


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path) as one:
        yield one
        assert one.problems == []


@pytest.fixture
def page(make_stage, browser):
    """The page of a connector that follows 3,000 series at 1,000 values a second, and its stage."""
    port = free_port()
    stage = make_stage(rate=1000.0, departments=DEPARTMENTS, config=CONFIG | {"http": {"port": port}})
    stage.control("rename-department", department_id=7, name=HOSTILE)
    connector = stage.start_connector()
    wait_until(lambda: stage.alive() and stage.control("stats")["connects"], 60, stage.log)
    browser.window(*SIZES["desktop"])
    browser.goto(f"http://127.0.0.1:{port}/")
    browser.wait(f"document.querySelector('#count')?.textContent === '{SERIES}'", 90)
    browser.wait("document.body.dataset.level === 'ok'", 90)
    yield f"http://127.0.0.1:{port}", stage
    assert stage.stop(connector) == 0


def shoot(browser, name, folder):
    """Pictures in light and dark, wide and narrow."""
    for size, pixels in SIZES.items():
        for dark in (False, True):
            browser.window(*pixels, dark=dark, phone=size == "phone")
            file = folder / f"{name}-{size}-{'dark' if dark else 'light'}.png"
            browser.screenshot(file, whole=True)
            assert file.stat().st_size > 10_000, file
            assert browser.evaluate("document.documentElement.scrollWidth") <= pixels[0]
    browser.window(*SIZES["desktop"])


def test_a_session_that_the_source_ends_is_seen_on_the_page_and_so_is_its_gap(page, browser, tmp_path):
    url, stage = page
    folder = Path(SHOTS or tmp_path)
    folder.mkdir(exist_ok=True)
    browser.wait("document.querySelector('#members').innerText.includes('127.0.0.1')", 60)
    shoot(browser, "streaming", folder)

    # Live: what the source sends now is shown, without a reload.
    browser.evaluate("window.loaded = true")
    seen = browser.text("#spacer")
    browser.wait(f"document.querySelector('#spacer').innerText !== {seen!r}")
    browser.type("#filter", "missed img")
    browser.wait("document.querySelector('#count').textContent.startsWith('2 of')")
    assert HOSTILE in browser.text("#spacer")
    assert browser.evaluate("document.images.length") == 0
    browser.type("#filter", "")

    # The session ends: open gaps at once, the incident in the list, and all is well again by itself.
    stage.control("pause")
    stage.control("drop")
    browser.wait("document.querySelector('#incidents').innerText.includes('disconnect')", 60)
    began = browser.text("#incidents tbody tr")
    shoot(browser, "gap", folder)
    stage.control("resume")
    browser.wait("document.body.dataset.level === 'ok' && document.querySelector('#gaps').textContent === '0'", 90)
    assert SERIES.replace(",", "") in re.sub(r"\D", "", began), began
    assert stage.control("stats")["connects"] == 2
    assert browser.evaluate("window.loaded"), "the page was loaded again"
    assert browser.evaluate("document.title") != "owned"
    assert {one.partition("/static")[0].partition("/api")[0].rstrip("/") for one in browser.requests} == {url}
    tell(f"page of {SERIES} series, live from the emulator: {len(browser.requests)} requests, all to its own host")

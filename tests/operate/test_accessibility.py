"""The status page by keyboard alone, for weak eyes, and on a small screen: in a real browser."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from status_feed import every_series, gap

from connector.config.http import Http
from connector.domain.events import Reloaded

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))

from test_web import NAMES, TOKEN, Served, members

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")

SERIES = every_series(range(101, 104))
TEXT, OTHER = 4.5, 3.0
"""Contrast that text and that everything else needs (WCAG 2.2 AA)."""
TARGET = 24
"""Pixels that a control must have in each direction, at least (the same)."""

CONTRAST = """(() => {
    const context = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const colour = (text) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = text;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    };
    const part = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = ([red, green, blue]) => 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
    const ground = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const found = colour(getComputedStyle(one).backgroundColor);
            if (found[3] === 255) return found;
        }
        return [255, 255, 255, 255];
    };
    const ratio = (one, other) => {
        const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    return { colour, ground, ratio };
})()"""


@pytest.fixture
def served():
    with Served(Http(port=0), members=members, budget=lambda: (7, 60), departments=lambda: NAMES) as one:
        one.begin(SERIES)
        yield one


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path) as one:
        yield one
        assert one.problems == []


def shown(browser, served, **window):
    browser.window(*window.pop("size", (1360, 900)), **window)
    browser.goto(served.url)
    browser.wait(f"document.querySelector('#count')?.textContent === '{len(SERIES)}'")


def focused(browser):
    """What has the focus: its id or text, and the outline that shows it."""
    return browser.evaluate(
        f"""(() => {{
            const {{ colour, ground, ratio }} = {CONTRAST};
            const one = document.activeElement, style = getComputedStyle(one);
            const name = one === document.body ? null : one.id || one.textContent.trim() || one.className;
            const drawn = style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth);
            const box = one.getBoundingClientRect();
            const seen = box.width > 0 && box.right > 0 && box.left < innerWidth && box.bottom > 0
                && box.top < innerHeight;
            return {{ name, drawn, seen, contrast: ratio(colour(style.outlineColor), ground(one.parentElement)) }};
        }})()"""
    )


def walk(browser):
    """Every place that Tab leads to, in order, until the page's end."""
    places = []
    for _ in range(60):
        browser.press("Tab")
        place = focused(browser)
        if place["name"] is None or (places and place["name"] == places[0]["name"]):
            return places
        places.append(place)
    raise AssertionError(f"no end: {places}")


def controls(browser):
    """Every control that is shown."""
    return browser.evaluate(
        """[...document.querySelectorAll('a[href], button, input, select, textarea, [tabindex="0"]')]
            .filter((one) => one.getClientRects().length)
            .map((one) => one.id || one.textContent.trim())"""
    )


def first_metric(browser):
    rows = "[...document.querySelectorAll('.series-row')].filter((row) => !row.hidden)"
    return browser.evaluate(f"{rows}.find((row) => row.ariaRowIndex === '2')?.querySelector('.metric').textContent")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [(1360, 900), (390, 844)], ids=["desktop", "phone"])
def test_tab_leads_to_every_control_in_order_and_shows_where_it_is(served, browser, size, dark):
    shown(browser, served, size=size, dark=dark)
    places = walk(browser)
    names = [one["name"] for one in places]
    wanted = controls(browser)
    assert [name for name in names if name in wanted] == wanted
    assert {"filter", "show", "scroll"} <= set(names)
    assert ("sort" in names) == (size[0] < 640)
    assert ("Value" in names) == (size[0] > 640)
    hidden = [one for one in places if one["drawn"] < 2 or one["contrast"] < OTHER or not one["seen"]]
    assert hidden == []


def test_everything_can_be_done_by_keyboard(served, browser):
    shown(browser, served)
    browser.press("Tab")
    assert focused(browser)["name"] == "Skip to the series"
    browser.press("Enter")
    browser.wait("document.activeElement.id === 'series'")
    ahead = 0
    while focused(browser)["name"] != "Metric":
        browser.press("Tab")
        ahead += 1
    assert ahead == 1, "the skip link leads past filter and header"

    # Sort: with Enter and with the space bar, there and back, and the focus stays.
    assert first_metric(browser) == SERIES_IN_ORDER[0]
    browser.press("Enter")
    browser.wait("document.querySelector('[data-key=metric]').ariaSort === 'descending'")
    assert first_metric(browser) == SERIES_IN_ORDER[-1]
    browser.press(" ")
    browser.wait("document.querySelector('[data-key=metric]').ariaSort === 'ascending'")
    assert focused(browser)["name"] == "Metric"

    # Filter: type, and take back with Escape; live updates take neither the focus nor the text.
    browser.evaluate("document.querySelector('#filter').focus()")
    browser.insert("online")
    browser.wait("document.querySelector('#count').textContent.startsWith('1 of')")
    before = browser.evaluate("document.querySelector('#rate-note').textContent")
    served.do(lambda feed: feed.commit(feed.entry(SERIES[0], 5.0)))
    browser.wait(f"document.querySelector('#rate-note').textContent !== '{before}'")
    assert focused(browser)["name"] == "filter"
    assert browser.evaluate("document.activeElement.value") == "online"
    browser.press("Escape")
    browser.wait(f"document.querySelector('#count').textContent === '{len(SERIES)}'")

    # Choose: what has an open gap.
    lost = gap(time.time_ns() // 1000)
    served.do(lambda feed: feed.commit(*(feed.gap_opened(one, lost) for one in SERIES[:3])))
    browser.press("Tab")
    assert focused(browser)["name"] == "show"
    browser.press("ArrowDown")
    browser.wait("document.querySelector('#count').textContent.startsWith('3 of')")


SERIES_IN_ORDER = sorted({one.metric if "." in one.metric else f"{one.family}.{one.metric}" for one in SERIES})

TEXTS = f"""(() => {{
    const {{ colour, ground, ratio }} = {CONTRAST};
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (walker.nextNode()) {{
        const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
        if (!text || !element.getClientRects().length || element.closest('noscript, option, script')) continue;
        const style = getComputedStyle(element);
        found.push([ratio(colour(style.color), ground(element)), text.slice(0, 40)]);
    }}
    for (const one of document.querySelectorAll('input, select')) {{
        const style = getComputedStyle(one);
        found.push([ratio(colour(style.color), ground(one)), one.id]);
        found.push([ratio(colour(getComputedStyle(one, '::placeholder').color), ground(one)), one.id + ' placeholder']);
    }}
    return found;
}})()"""

BORDERS = f"""(() => {{
    const {{ colour, ground, ratio }} = {CONTRAST};
    return [...document.querySelectorAll('input, select, button')]
        .filter((one) => one.getClientRects().length && parseFloat(getComputedStyle(one).borderTopWidth))
        .map((one) => [ratio(colour(getComputedStyle(one).borderTopColor), ground(one.parentElement)), one.id]);
}})()"""


def trouble(feed):
    lost = gap(feed.now_us)
    feed.close()
    feed.commit(*(feed.gap_opened(one, lost) for one in SERIES[:9]), feed.rejected())
    feed.emit(Reloaded(applied=False, message="subscriptions: no such metric", at_us=feed.now_us))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [(1360, 900), (390, 844)], ids=["desktop", "phone"])
@pytest.mark.parametrize("act", [None, trouble], ids=["well", "in trouble"])
def test_every_text_and_border_has_contrast_enough(served, browser, size, dark, act):
    shown(browser, served, size=size, dark=dark)
    if act is not None:
        served.do(act)
        browser.wait("document.body.dataset.level === 'degraded' && !document.querySelector('#reload').hidden")
    texts = browser.evaluate(TEXTS)
    assert len(texts) > 100
    assert [one for one in texts if one[0] < TEXT] == []
    assert [one for one in browser.evaluate(BORDERS) if one[0] < OTHER] == []


def test_control_faint_text_and_hidden_focus_are_found(served, browser):
    shown(browser, served)
    browser.evaluate("document.querySelector('#count').style.color = '#999'")
    browser.evaluate("document.querySelector('#show').style.outline = 'none'")
    browser.evaluate("document.querySelector('#scroll').tabIndex = -1")
    assert [one[1] for one in browser.evaluate(TEXTS) if one[0] < TEXT] == [str(len(SERIES))]
    places = walk(browser)
    assert [one["name"] for one in places if one["drawn"] < 2] == ["show"]


@pytest.mark.parametrize("size", [(1360, 900), (320, 640)], ids=["desktop", "small phone"])
def test_controls_are_large_enough_named_and_nothing_needs_sideways_scrolling(served, browser, size):
    shown(browser, served, size=size)
    small = browser.evaluate(
        f"""[...document.querySelectorAll('button, input, select')]
            .filter((one) => one.getClientRects().length)
            .map((one) => [one.id || one.textContent, one.getBoundingClientRect()])
            .filter(([, box]) => box.height < {TARGET} || box.width < {TARGET})
            .map(([name, box]) => [name, box.width, box.height])"""
    )
    assert small == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= size[0]
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "searchbox", "combobox", "meter", "link", "image", "rowgroup", "region", "table"}
    shown_nodes = [node for node in tree if not node.get("ignored") and node.get("role", {}).get("value") in roles]
    unnamed = [node["role"]["value"] for node in shown_nodes if not node.get("name", {}).get("value")]
    # Tables below a heading of their own, and their parts.
    assert set(unnamed) <= {"table", "rowgroup"}
    named = {(node["role"]["value"], node["name"]["value"]) for node in shown_nodes if node["name"].get("value")}
    assert {
        ("searchbox", "Filter"),
        ("combobox", "Show"),
        ("table", "Series"),
        ("meter", "Connect budget used"),
    } <= named


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_login_form(tmp_path, browser, dark):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    with Served(Http(port=0, token_file=file)) as guarded:
        guarded.begin(SERIES)
        browser.window(390, 844, dark=dark)
        browser.goto(guarded.url)
        browser.wait("document.activeElement.id === 'token'")
        browser.insert("wrong")
        browser.press("Enter")
        browser.wait("document.querySelector('[role=alert]')?.hidden === false")
        assert [one for one in browser.evaluate(TEXTS) if one[0] < TEXT] == []
        assert [one for one in browser.evaluate(BORDERS) if one[0] < OTHER] == []
        browser.insert(TOKEN)
        browser.press("Tab")
        assert focused(browser)["name"] == "Log in"
        browser.press(" ")
        browser.wait(f"document.querySelector('#count')?.textContent === '{len(SERIES)}'")
    browser.problems[:] = [one for one in browser.problems if "401" not in str(one) and "ERR_" not in str(one)]

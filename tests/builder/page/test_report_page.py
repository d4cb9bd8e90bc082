"""The page of a report in headless Chromium: in either colour scheme, on a small screen, by keyboard and by ear."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.conftest import Golden

SCREENS = {"wide": (1280, 900), "narrow": (360, 740)}
FOCUSED = "((at) => at.getAttribute('aria-label') || at.textContent)(document.activeElement)"
# What is drawn, in pixels of the screen: [class, left, width] of every bar below an element.
DRAWN = """(element) => [...element.querySelectorAll('rect')].map((bar) => {
    const {left, width} = bar.getBoundingClientRect();
    return [bar.getAttribute('class'), left, width];
})"""


def opened(browser: Browser, address: str, *, scheme: Any = "light", screen: str = "wide") -> Page:
    width, height = SCREENS[screen]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    return page


@pytest.fixture
def shown(browser: Browser, address: str) -> Iterator[Page]:
    page = opened(browser, address)
    yield page
    page.context.close()


def is_cut_off(node: Any) -> bool:
    """Tell what axe can't judge because it lies half behind the edge of what scrolls; on a wide screen it can."""
    return bool(node["any"]) and (node["any"][0]["data"] or {}).get("messageKey") == "elmPartiallyObscured"


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, address: str, scheme: str, screen: str) -> None:
    page = opened(browser, address, scheme=scheme, screen=screen)
    found = Axe().run(page).response
    page.context.close()
    problems = [
        (rule["id"], node["html"])
        for kind in ("violations", "incomplete")
        for rule in found[kind]
        for node in rule["nodes"]
        if not is_cut_off(node)
    ]
    assert problems == []


def test_what_a_screen_reader_meets(shown: Page, golden: Golden) -> None:
    golden.check(shown.locator("body").aria_snapshot() + "\n", "report.aria.yaml")


def test_the_page_asks_for_nothing_and_the_browser_refuses_nothing(browser: Browser, address: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(address)
    styled = page.evaluate("getComputedStyle(document.body).maxWidth")
    context.close()
    assert (asked, said, styled) == ([address], [], "1408px")


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_is_wider_than_the_screen_but_what_scrolls(shown: Page, width: int) -> None:
    shown.set_viewport_size({"width": width, "height": 740})
    assert shown.evaluate("document.documentElement.scrollWidth") == width


def test_a_wide_table_is_scrolled_with_the_keyboard(browser: Browser, address: str) -> None:
    page = opened(browser, address, screen="narrow")
    region = page.get_by_role("region", name="Timeline, as a table")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(element) => element.scrollLeft > 0", arg=region.element_handle())
    page.context.close()


def test_the_keyboard_reaches_every_image_in_order(shown: Page) -> None:
    met = []
    for _ in range(6):
        shown.keyboard.press("Tab")
        met.append(shown.evaluate(FOCUSED))
    assert met == ["Images, as a table", "retrieval", "broken", "weights", "stopped", "waiting"]


def test_a_link_leads_to_its_image(shown: Page) -> None:
    shown.get_by_role("link", name="broken").click()
    assert shown.locator("section:target").get_by_role("heading", level=2).inner_text().startswith("broken")


def test_what_ran_at_the_same_time_is_drawn_above_each_other(shown: Page) -> None:
    rows = shown.get_by_role("row")
    (first,) = rows.filter(has=shown.get_by_role("rowheader", name="model-embedder", exact=True)).first.evaluate_all(
        f"(rows) => rows.map({DRAWN})"
    )
    (second,) = rows.filter(has=shown.get_by_role("rowheader", name="model-reranker", exact=True)).first.evaluate_all(
        f"(rows) => rows.map({DRAWN})"
    )
    assert [bar[0] for bar in (*first, *second)] == ["ran", "ran"]
    assert first[0][1] == pytest.approx(second[0][1], abs=1)
    assert first[0][2] / second[0][2] == pytest.approx(6.5 / 5.0, abs=0.05)


def test_the_layers_of_an_image_are_drawn_by_their_size(shown: Page) -> None:
    bars = shown.locator("#image-retrieval svg.layers").evaluate(DRAWN)
    widths = {name: width for name, _, width in bars}
    assert len(bars) == 7
    assert widths["colour-2"] / widths["colour-3"] == pytest.approx(189.0 / 90.8, abs=0.05)


@pytest.mark.parametrize(
    ("place", "title"),
    [
        ("#image-retrieval svg.layers rect >> nth=2", "python-deps: 189 MB, 38.2 %"),
        (".timeline rect.waiting >> nth=0", "waiting for its turn: 21.1 s"),
        (".timeline rect.cached >> nth=0", "[python-deps 1/2] FROM debian:bookworm-slim: cached"),
    ],
)
def test_a_pointer_over_a_bar_is_told_what_it_is(shown: Page, place: str, title: str) -> None:
    assert shown.locator(place).locator("title").text_content() == title

"""Who can use the page: with a keyboard, a screen reader, either colour scheme, a small screen, little motion."""

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import Golden
from tests.runtime.page.browser import Visit, steady, visit
from tests.runtime.server import Server

SCREENS = {"wide": (1280, 900), "narrow": (360, 740)}
FOCUSED = "((at) => at.id || at.getAttribute('aria-label') || at.textContent)(document.activeElement)"


def open_page(browser: Browser, server: Server, *, scheme: Any, screen: str) -> Visit:
    width, height = SCREENS[screen]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    return visit(context, f"http://127.0.0.1:{server.port}/")


def axe_problems(page: Page) -> list[tuple[str, list[str]]]:
    """Name each rule that is broken, or that only a person can judge, and the elements that break it."""
    found = Axe().run(page).response
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]])
        for kind in ("violations", "incomplete")
        for rule in found[kind]
    ]


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, server: Server, scheme: str, screen: str) -> None:
    seen = open_page(browser, server, scheme=scheme, screen=screen)
    before = axe_problems(seen.page)
    seen.rank()
    answered = axe_problems(seen.page)
    seen.page.evaluate("document.getElementById('key-field').hidden = false")
    seen.page.get_by_label("API key").fill("guess")
    seen.refuse("v1/embeddings", status=401, body={"message": "no `key`"})
    seen.page.get_by_role("button", name="Rank").click()
    expect(seen.page.get_by_role("alert")).not_to_be_empty()
    assert (before, answered, axe_problems(seen.page)) == ([], [], [])
    seen.page.context.close()


def test_what_a_screen_reader_meets(shown: Visit, golden: Golden) -> None:
    shown.rank(query="Where does the cat sit?", documents="The cat sits.\nRates rose on Tuesday.")
    snapshot = shown.page.locator("body").aria_snapshot()
    text = steady(snapshot).replace(shown.base, "http://127.0.0.1:8080/")
    golden.check(re.sub(r"\d+(?:\.\d)? MB", "1 MB", text) + "\n", "page.aria.yaml")


def test_progress_and_its_end_are_announced(shown: Visit) -> None:
    said = shown.page.evaluate_handle(
        """() => {
            const status = document.querySelector("[role=status]");
            const said = [];
            new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
            return said;
        }"""
    )
    shown.rank(documents="\n".join(["cat"] * 70))
    assert said.json_value() == [
        "Embedding the query.",
        "Embedded 64 of 70 documents.",
        "Embedded 70 of 70 documents.",
        "Reranking.",
        "Reranked 64 of 70 documents.",
        "Reranked 70 of 70 documents.",
        "70 documents ranked.",
    ]


def test_the_keyboard_reaches_everything_in_the_order_in_which_it_is_read(shown: Visit) -> None:
    shown.rank()
    shown.page.get_by_label("Query", exact=True).focus()
    met = []
    for _ in range(15):
        met.append(shown.page.evaluate(FOCUSED))
        shown.page.keyboard.press("Tab")
    assert met == [
        *("query", "documents", "separator-line", "embedder", "query-prompt", "document-prompt", "dimensions"),
        *("reranker", "rank", "heatmap-region", "documentation"),
        *("Copy the curl program", "Program with curl", "Copy the openai program", "Program with openai"),
    ]


def test_a_question_can_be_asked_with_the_keyboard_alone(shown: Visit) -> None:
    keyboard = shown.page.keyboard
    keyboard.press("Tab")
    keyboard.press("ControlOrMeta+a")
    keyboard.type("cat")
    keyboard.press("Tab")
    keyboard.press("ControlOrMeta+a")
    keyboard.type("rates")
    keyboard.press("Enter")
    keyboard.type("cat")
    keyboard.press("Control+Enter")
    expect(shown.page.get_by_text("2 documents ranked.")).to_be_visible()
    assert shown.posted("rerank") == [{"model": "ranker", "query": "cat", "documents": ["rates", "cat"]}]


def test_a_wide_heat_map_is_scrolled_with_the_keyboard(context: BrowserContext, server: Server) -> None:
    seen = visit(context, f"http://127.0.0.1:{server.port}/")
    seen.page.set_viewport_size({"width": 360, "height": 740})
    seen.rank()
    region = seen.page.get_by_role("region", name="Cosine similarity")
    region.focus()
    seen.page.keyboard.press("ArrowRight")
    expect(region).not_to_have_js_property("scrollLeft", 0)


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_but_tables_and_programs_is_wider_than_the_screen(shown: Visit, width: int) -> None:
    shown.page.set_viewport_size({"width": width, "height": 740})
    shown.rank(documents=f"{'unbroken' * 40}\n{'cat ' * 200}\n" + "\n".join(["The cat sits."] * 14))
    assert shown.page.evaluate("document.documentElement.scrollWidth") == width


def test_nothing_moves_for_those_who_want_it_still(shown: Visit) -> None:
    shown.page.emulate_media(reduced_motion="reduce")
    moving = "[...document.querySelectorAll('*')].filter((e) => getComputedStyle(e).transitionDuration !== '0s').length"
    assert shown.page.evaluate(moving) == 0

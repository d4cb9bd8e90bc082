"""The page at /docs shows the OpenAPI document and sends its requests, in a browser, and asks its own server alone."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from runtime.routes import ROUTES
from tests.runtime.page.test_access import axe_problems
from tests.runtime.server import Server


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def docs(context: BrowserContext, server: Server, complaints: list[str], asked: list[str]) -> Page:
    page = context.new_page()
    # playwright sets an attribute on what it calls, and a built-in method takes none
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://127.0.0.1:{server.port}/docs")
    page.get_by_role("heading", name="Types").wait_for()
    return page


def test_every_route_is_shown(docs: Page) -> None:
    shown = [text.split()[:2] for text in docs.locator("summary:has(.method)").all_inner_texts()]
    assert sorted(shown) == sorted([route.method, route.path] for route in ROUTES)


def test_the_request_that_is_shown_is_answered(docs: Page) -> None:
    operation = docs.locator("#embeddings")
    operation.locator("summary").click()
    operation.get_by_role("button", name="Send POST /v1/embeddings").click()
    expect(operation.locator("pre[aria-live]")).to_contain_text('200 OK\n{\n  "object": "list"')


def test_a_request_that_is_edited_is_answered_as_it_is(docs: Page) -> None:
    operation = docs.locator("#tei_embed")
    operation.locator("summary").click()
    operation.get_by_label("Body of POST /embed").fill('{"inputs": []}')
    operation.get_by_role("button", name="Send POST /embed").click()
    expect(operation.locator("pre[aria-live]")).to_contain_text("`inputs`: there is nothing in it")


def test_a_type_that_is_named_is_opened(docs: Page) -> None:
    docs.locator("#rerank_v2 summary").click()
    docs.locator("#rerank_v2").get_by_role("link", name="CohereRerankRequest").click()
    expect(docs.locator("#CohereRerankRequest table")).to_be_visible()


def test_nobody_else_is_asked_and_nothing_complains(docs: Page, asked: list[str], complaints: list[str]) -> None:
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith("data:")}
    assert (hosts, complaints) == ({urlsplit(docs.url).netloc}, [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, server: Server, scheme: Any) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/docs#embeddings")
    page.locator("#embeddings textarea").wait_for()
    assert axe_problems(page) == []
    context.close()

"""Own the fixtures of the page's tests: one browser for all of them, and a page on the server with both tiny models."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.runtime.page.browser import Visit, running_browser, visit
from tests.runtime.server import Server


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser; not for the session, because its client keeps an event loop running in this thread."""
    with running_browser() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def shown(context: BrowserContext, server: Server) -> Visit:
    return visit(context, f"http://127.0.0.1:{server.port}/")

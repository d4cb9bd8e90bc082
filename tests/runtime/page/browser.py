"""Own a page in headless Chromium: the browser of these tests, what a page asked for and what it complained about."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, sync_playwright

Table = list[list[str]]
_SERVER_TIMES = re.compile(r" \(server [^)]*\)")
_TIME = re.compile(r"[\d.,]+ ms")


def steady(text: str) -> str:
    """Return a text of the page with every time as 0, and without those that the server reports."""
    return _TIME.sub("0 ms", _SERVER_TIMES.sub("", text))


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run Debian's Chromium; where there is none, the test is skipped."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("there is no `chromium` here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        yield browser
        browser.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One page on one server, what it asked for, and what the browser or its own code complained about."""

    page: Page
    base: str
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def rank(self, *, query: str | None = None, documents: str | None = None) -> None:
        """Ask the form's question, or this one, and wait until it is answered."""
        if query is not None:
            self.page.get_by_label("Query", exact=True).fill(query)
        if documents is not None:
            self.page.get_by_label("Documents", exact=True).fill(documents)
        self.page.get_by_role("button", name="Rank").click()
        self.page.get_by_text(re.compile(r"documents? ranked\.$")).wait_for()

    def rows(self, table: str) -> Table:
        """Read the shown rows of a table, found by a part of its name, with what is only heard."""
        rows = self.page.get_by_role("table", name=table).locator("tbody").get_by_role("row").all()
        cells = [row.locator("th, td").all_inner_texts() for row in rows]
        return [[" ".join(text.split()) for text in row] for row in cells]

    def posted(self, path: str) -> list[Any]:
        """Say what was posted to a path, in order."""
        return [request.post_data_json for request in self.requests if request.url == f"{self.base}{path}"]

    def refuse(self, path: str, *, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        """Answer a path in the server's place from now on."""

        def answer(route: Route) -> None:
            route.fulfill(status=status, json=body, headers=headers)

        self.page.route(f"{self.base}{path}", answer)


def visit(context: BrowserContext, base: str) -> Visit:
    """Open the page of the server at `base` and wait until it knows its models."""
    made = open_page(context, base)
    made.page.get_by_role("heading", name="Models").wait_for()
    return made


def open_page(context: BrowserContext, base: str) -> Visit:
    """Open the page of the server at `base` and wait until it has asked for its models."""
    made = Visit(page=context.new_page(), base=base)
    # playwright sets an attribute on what it calls, and a built-in method takes none
    made.page.on("request", lambda request: made.requests.append(request))  # noqa: PLW0108 - as said
    made.page.on("console", lambda message: made.complaints.append(message.text))
    made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
    with made.page.expect_response("**/page/models.json"):
        made.page.goto(base)
    return made

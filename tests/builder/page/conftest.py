"""Own the fixtures of the report page's tests: one browser for all of them, and the page of a run, from a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from builder import compare, page
from tests.builder import reported
from tests.runtime.page.browser import running_browser


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser; not for the session, because its client keeps an event loop running in this thread."""
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="package")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run in which everything happened, as a person opens it: without a server."""
    report = reported.report(*reported.ALL, error=KeyboardInterrupt())
    report["images"][0]["pushed"] = [reported.PUSHED]
    path = Path(tmp_path_factory.mktemp("page") / "report.html")
    path.write_text(page.document(report, compare.growths(report, reported.older())), encoding="utf-8")
    return path.as_uri()

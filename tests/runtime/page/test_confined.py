"""The page asks its own server and nothing else, and could not if it wanted to."""

import socket
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from runtime.page import FOLDER
from tests.runtime.page.browser import Visit, visit
from tests.runtime.server import Server

# What a page that was tampered with would try; each is told by the rule that forbids it.
ATTEMPTS = {
    "connect-src": "fetch(elsewhere).catch(() => {})",
    "img-src": "document.body.append(Object.assign(new Image(), { src: elsewhere }))",
    "style-src-attr": "document.body.setAttribute('style', 'color: red')",
    "style-src-elem": "document.head.append(Object.assign(document.createElement('style'), { textContent: 'p {}' }))",
    "form-action": "document.forms[0].submit()",
    "base-uri": "document.head.append(Object.assign(document.createElement('base'), { href: elsewhere }))",
    "require-trusted-types-for": "try { document.body.innerHTML = '<p>' } catch {}",
}
ATTEMPT = """([attempt, elsewhere]) => new Promise((resolve) => {
    document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
    new Function("elsewhere", attempt)(elsewhere);
})"""


def test_a_whole_visit_asks_only_its_server_and_nothing_complains(shown: Visit) -> None:
    shown.rank()
    hosts = {urlsplit(request.url).netloc for request in shown.requests}
    assert (hosts, shown.complaints) == ({urlsplit(shown.base).netloc}, [])


def test_below_a_proxy_s_prefix_everything_is_asked_there(context: BrowserContext, server: Server) -> None:
    base = f"http://127.0.0.1:{server.port}/"

    def strip(route: Route) -> None:
        route.fulfill(response=route.fetch(url=route.request.url.replace("/some/prefix/", "/")))

    context.route("**/some/prefix/**", strip)
    seen = visit(context, f"{base}some/prefix/")
    seen.rank()
    assert [request.url for request in seen.requests if "/some/prefix/" not in request.url] == []
    assert f"curl '{base}some/prefix/rerank'" in seen.page.get_by_role("region", name="Program with curl").inner_text()


def test_the_description_of_every_route_is_a_link_away(shown: Visit) -> None:
    shown.page.get_by_role("link", name="documentation").click()
    expect(shown.page).to_have_url(f"{shown.base}docs")
    expect(shown.page.get_by_text("/rerank", exact=True)).to_be_visible()


def test_every_file_of_the_page_has_its_use(shown: Visit) -> None:
    asked = {request.url.removeprefix(shown.base) for request in shown.requests}
    files = {f"page/{file.name}" for file in FOLDER.iterdir()} - {"page/index.html"}
    assert files - asked <= {"page/icon.svg"}  # which a browser without a window does not show


@pytest.mark.parametrize("directive", ATTEMPTS)
def test_the_browser_refuses_what_the_policy_forbids(shown: Visit, directive: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
        assert shown.page.evaluate(ATTEMPT, [ATTEMPTS[directive], address]) == directive
        elsewhere.settimeout(0)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()

import base64
import hashlib
import re

from runtime.documentation import PAGE
from tests.runtime.server import Server


def test_the_page_is_confined_to_its_own_script_and_style(server: Server) -> None:
    answer = server.request("GET", "/docs")
    digests = {
        tag: base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        for tag, content in re.findall(r"<(script|style)>(.*?)</\1>", PAGE.read_text(), re.DOTALL)
    }
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].split("; ") == [
        "default-src 'none'",
        f"script-src 'sha256-{digests['script']}'",
        f"style-src 'sha256-{digests['style']}'",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]


def test_the_page_asks_no_other_server() -> None:
    assert re.findall(r"(?:src|href|url)\s*[=(:]\s*[\"'`]?(?:https?:)?//", PAGE.read_text()) == []


def test_the_page_makes_no_markup_of_text() -> None:
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", PAGE.read_text()) == []

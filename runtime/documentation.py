"""Own the routes that describe the others: the OpenAPI document, and a page that shows it without any network."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from runtime import openapi
from runtime.handler import Backend, Handler, Reply
from runtime.routes import Route
from runtime.schemas import NoFields, encode

PAGE = Path(__file__).with_name("docs.html")

_INLINE = re.compile(r"<(?P<tag>script|style)>(?P<content>.*?)</(?P=tag)>", re.DOTALL)


def documentation_routes(routes: Sequence[Route], *, has_keys: bool) -> Sequence[Route]:
    """Make the routes that describe `routes`; what they answer is made once, when it is first asked for."""

    def document() -> Reply:
        return Reply(body=encode(openapi.document(routes, has_keys=has_keys)))

    return [
        _route("/openapi.json", "openapi", "This document", _always(document)),
        _route("/docs", "docs", "A page that shows the OpenAPI document", _always(_page)),
    ]


def _page() -> Reply:
    page = PAGE.read_text(encoding="utf-8")
    return Reply(body=page.encode(), media_type="text/html", headers=_headers(page))


def _route(path: str, name: str, summary: str, handler: Handler) -> Route:
    return Route(
        method="GET",
        path=path,
        name=name,
        summary=summary,
        handler=handler,
        request=NoFields,
        response=object,
        dialect="native",
        public=True,
    )


def _always(make: Callable[[], Reply]) -> Handler:
    made = cache(make)

    async def answered(_backend: Backend, _asked: NoFields) -> Reply:
        return made()

    return answered


def _headers(page: str) -> dict[str, str]:
    """Confine the page to its own script and style, which are named by their digests, and to this server."""
    allowed = {"script": "", "style": ""}
    for inline in _INLINE.finditer(page):
        digest = base64.b64encode(hashlib.sha256(inline["content"].encode()).digest()).decode()
        allowed[inline["tag"]] += f" 'sha256-{digest}'"
    policy = (
        "default-src 'none'",
        f"script-src{allowed['script']}",
        f"style-src{allowed['style']}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return {
        "content-security-policy": "; ".join(policy),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-cache",
    }

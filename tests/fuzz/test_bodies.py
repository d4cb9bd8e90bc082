"""Bodies that are nearly right, or not JSON at all, are answered or refused, in the dialect of their route."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.answers import ANSWERS, Dialect
from runtime.routes import ROUTES, Route
from runtime.schemas import CohereError, NativeError, OpenAIError
from tests.fuzz.asked import asked
from tests.fuzz.conftest import Sent
from tests.runtime.server import Server

POSTS = [route for route in ROUTES if route.method == "POST"]
ERRORS: dict[Dialect, type[Any]] = {"openai": OpenAIError, "cohere": CohereError, "native": NativeError}

texts = st.text(st.characters(), max_size=20) | st.sampled_from(["", " ", "\n", "\0", "\ud800", "cat", "a" * 5000])
numbers = st.integers() | st.integers(-2, 40) | st.floats() | st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e308])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def bodies(draw: st.DrawFn, route: Route) -> bytes:
    """Take the request of the documentation with another text, and leave it, change its fields or break its bytes."""
    request = asked(route, draw(texts))
    names = [field.name for field in msgspec.structs.fields(route.request)]
    changed = draw(st.dictionaries(st.sampled_from(names), values, min_size=1, max_size=3))
    right, unfit = json.dumps(request).encode(), json.dumps({**request, **changed}).encode()
    return draw(st.sampled_from([right, unfit]) | broken(right))


@st.composite
def broken(draw: st.DrawFn, body: bytes) -> bytes:
    """Cut a body short, or put other bytes into it, or write it in another encoding."""
    place = draw(st.integers(0, len(body)))
    inserted = body[:place] + draw(st.binary(max_size=4)) + body[place:]
    return draw(st.sampled_from([body[:place], inserted, body.decode().encode("utf-16"), b"\xef\xbb\xbf" + body]))


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.name)
def test_whatever_comes_is_answered(
    server: Server, sent: Sent, effort: Callable[[float], settings], route: Route
) -> None:
    statuses = {200} | {row.status(route.dialect) for row in ANSWERS.values()}

    @effort(0.5 / len(POSTS))
    @given(bodies(route))
    def ask(body: bytes) -> None:
        answer = server.post_bytes(route.path, body)
        sent[route.path, answer.status] += 1
        assert answer.status in statuses
        msgspec.convert(answer.body, route.response if answer.status == 200 else ERRORS[route.dialect])

    ask()

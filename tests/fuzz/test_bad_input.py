"""What is known to break servers, each sent to every route that takes a body."""

import socket
from contextlib import ExitStack
from typing import Any

import pytest

from runtime.answers import ANSWERS
from runtime.errors import InvalidError
from runtime.routes import ROUTES, Route
from tests.fuzz.asked import asked
from tests.fuzz.conftest import Sent
from tests.runtime.server import Server

POSTS = [route for route in ROUTES if route.method == "POST"]
TEXTS = [route for route in POSTS if route.path != "/decode"]

FIELDS = ("input", "inputs", "ids", "query", "texts", "documents")
MALFORMED = {
    "nothing": b"",
    "white space": b" \n",
    "half a body": b'{"input": "a", "inputs": "a", "query": "a',
    "a number that is none": b'{"inputs": NaN, "input": NaN, "query": NaN, "texts": NaN, "ids": NaN}',
    "an endless number": b'{"inputs": Infinity, "input": Infinity, "query": -Infinity, "ids": Infinity}',
    "deep nesting": b'{"inputs": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep objects": b'{"unknown": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "half of a pair": b'{"inputs": "\\ud800", "input": "\\ud800", "query": "\\ud800 and more", "ids": ["\\ud800"]}',
    "the other half": b'{"inputs": "\\udc00 and more", "input": "\\udc00 and more", "query": "\\udc00 and more"}',
    "bytes that are no UTF-8": b'{"inputs": "\xff", "input": "\xc0\x80", "query": "\xed\xa0\x80", "ids": ["\xff"]}',
    "UTF-16": '{"inputs": "a"}'.encode("utf-16"),
    "a mark before it": b'\xef\xbb\xbf{"inputs": "a"}',
    "two bodies": b'{"inputs": "a"}{"inputs": "b"}',
    "a comment": b'{"inputs": "a" /* b */}',
}

UNFIT: dict[str, Any] = {
    "a list": [],
    "a text": "a",
    "a number": 1,
    "nothing at all": None,
    "no field": {},
    "fields of other types": dict.fromkeys(FIELDS, True),
    "a field of null": dict.fromkeys(FIELDS),
    "ids that are too large": {"input": [[10**30]], "inputs": [[10**30]], "ids": [[10**30]]},
    "ids below zero": {"input": [-1], "inputs": [-1], "ids": [-1]},
    "ids that are no integers": {"input": [1.5], "inputs": [1.5], "ids": [1.5]},
}

FIT = {
    "white space": " \t\n ",
    "a zero byte": "a\0b",
    "1 MB of one letter": "a" * 1_000_000,
    "0.4 MB of two bytes each": "é" * 200_000,
    "0.2 million words": "cat " * 200_000,
    "marks without a letter": "\u0301" * 1000,
    "signs without a width": "\u200b\u200d\ufeff" * 1000,
    "every direction": "\u202e\u2066abc",
    "the last letter of Unicode": "\U0010ffff",
}


def unfit(route: Route) -> int:
    """Give the status for JSON that does not fit."""
    return ANSWERS[InvalidError].status(route.dialect)


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.name)
def test_what_is_no_json_is_refused(server: Server, sent: Sent, route: Route, name: str) -> None:
    answer = server.post_bytes(route.path, MALFORMED[name])
    sent[route.path, answer.status] += 1
    # a body that is read no further than to a field that does not fit is not seen to be no JSON
    assert answer.status in {400, unfit(route)}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.name)
def test_what_does_not_fit_is_refused(server: Server, sent: Sent, route: Route, name: str) -> None:
    answer = server.post(route.path, UNFIT[name])
    sent[route.path, answer.status] += 1
    assert answer.status == unfit(route)


@pytest.mark.parametrize("name", FIT)
@pytest.mark.parametrize("route", TEXTS, ids=lambda route: route.name)
def test_a_strange_text_is_answered(server: Server, sent: Sent, route: Route, name: str) -> None:
    answer = server.post(route.path, asked(route, FIT[name]))
    sent[route.path, answer.status] += 1
    assert answer.status == 200


@pytest.mark.parametrize("route", TEXTS, ids=lambda route: route.name)
def test_an_empty_text_is_refused_where_it_would_be_embedded(server: Server, sent: Sent, route: Route) -> None:
    answer = server.post(route.path, asked(route, ""))
    sent[route.path, answer.status] += 1
    assert answer.status == (200 if route.path in {"/tokenize", "/predict"} else 400)


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.name)
def test_a_body_above_the_limit_is_refused(server: Server, sent: Sent, route: Route) -> None:
    answer = server.post_bytes(route.path, b'{"inputs": "%s"}' % (b"a" * 10_000_000))
    sent[route.path, answer.status] += 1
    assert answer.status == 413


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.name)
def test_another_type_is_refused(server: Server, sent: Sent, route: Route, kind: str) -> None:
    answer = server.request("POST", route.path, b'{"inputs": "a"}', {"Content-Type": kind})
    sent[route.path, answer.status] += 1
    assert answer.status == 415


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.name)
def test_a_caller_who_leaves_in_the_middle_harms_nobody(server: Server, route: Route) -> None:
    with connected(server) as connection:
        connection.sendall(head(route.path) + b'{"inputs": ')
    assert server.request("GET", "/health").status == 200


def test_bodies_that_do_not_come_are_given_up(server: Server, sent: Sent) -> None:
    with ExitStack() as stack:
        connections = {route.path: stack.enter_context(connected(server)) for route in POSTS}
        for path, connection in connections.items():
            connection.sendall(head(path) + b'{"inputs": ')
        statuses = {path: status_of(connection) for path, connection in connections.items()}
    sent.update(statuses.items())
    assert set(statuses.values()) == {408}


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # what a client of TLS begins with
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /embed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /no HTTP/1.1\r\nHost: a\r\nX-Request-Id: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /%ff%00/../%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/models/%ED%A0%80?model=%ff HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_hardly_http_is_refused(server: Server, request_bytes: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(request_bytes)
        status = status_of(connection)
    assert 400 <= status < 500
    assert server.request("GET", "/health").status == 200


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def status_of(connection: socket.socket) -> int:
    """Read the beginning of an answer."""
    return int(connection.recv(12).split()[1])


def head(path: str) -> bytes:
    """Begin a request whose body is longer than what follows."""
    fields = {"Host": "a", "Content-Type": "application/json", "Content-Length": "100"}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode()

"""Messages of a real answer over HTTP, to its end."""

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from builder.messages import JsonStream

LINES = b'{"stream": "one"}\n{"stream": "two"}\n'


class _Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(LINES)))
        self.end_headers()
        self.wfile.write(LINES)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Keep quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Engine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_each_line_is_a_message(address: str) -> None:
    with (
        requests.Session() as session,
        JsonStream(session.get(address, stream=True), translated=nullcontext) as messages,
    ):
        assert list(messages) == [{"stream": "one"}, {"stream": "two"}]

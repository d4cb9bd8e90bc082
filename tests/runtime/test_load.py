"""How a real server bears more than it can do, and callers who are slow, leave, or send what never ends."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.runtime import slow, tiny
from tests.runtime.server import Answer, Server, running_server

MEBIBYTE = 2**20
TOLERANCE = 1e-6
CONNECTIONS = 60


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slow")
    tiny.write_embedder(folder)
    slow.slow_down(folder / "onnx" / "model.onnx", products=8)
    return tiny.write_bundle(folder / "bundle.json", tiny.embedder_entry(folder))


@pytest.fixture
def server(bundle: Path) -> Iterator[Server]:
    limits = {"max_concurrent_requests": "6", "max_batch_tokens": "8", "body_timeout_s": "1", "payload_limit": "400000"}
    with running_server(bundle, **limits) as server:
        yield server


def request_of(text: str | list[str], *, length: int | None = None) -> bytes:
    body = json.dumps({"input": text}).encode()
    head = "POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {length or len(body)}\r\n\r\n".encode() + body


def connected(server: Server, content: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(content)
    return connection


def first_line(connection: socket.socket) -> bytes:
    with connection, connection.makefile("rb") as answer:
        return answer.readline()


def most_memory_bytes(server: Server) -> int:
    """Read the most memory that the process ever had."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def flood(server: Server, *, requests: int, text: str = "rates") -> list[Answer]:
    """Ask from many connections at once, each again as soon as it is answered."""
    with ThreadPoolExecutor(CONNECTIONS) as callers:
        return list(callers.map(lambda _: server.post("/v1/embeddings", {"input": text}), range(requests)))


def test_at_ten_times_its_capacity_a_server_answers_right_or_refuses(server: Server) -> None:
    answers = flood(server, requests=600)
    counts = Counter(answer.status for answer in answers)
    assert (set(counts), counts[429] > counts[200] > 0) == ({200, 429}, True)
    vectors = [answer.body["data"][0]["embedding"] for answer in answers if answer.status == 200]
    np.testing.assert_allclose(vectors, [tiny.embedding("rates")] * len(vectors), atol=TOLERANCE)


def test_a_refusal_says_when_to_come_again_in_the_words_of_the_dialect(server: Server) -> None:
    refused = next(answer for answer in flood(server, requests=200) if answer.status == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    error = refused.body["error"]
    assert (error["type"], error["param"], error["code"]) == ("requests", None, "rate_limit_exceeded")
    assert "takes no more for now" in error["message"]


def test_after_the_flood_everything_is_answered_again(server: Server) -> None:
    flood(server, requests=200)
    assert [server.post("/v1/embeddings", {"input": "rates"}).status for _ in range(5)] == [200] * 5


def test_long_texts_from_many_do_not_fill_the_memory_more_and_more(server: Server) -> None:
    text = "cat " * 20_000
    flood(server, requests=200, text=text)
    before = most_memory_bytes(server)
    statuses = {answer.status for answer in flood(server, requests=600, text=text)}
    assert (statuses, most_memory_bytes(server) - before < 32 * MEBIBYTE) == ({200, 429}, True)


def test_what_a_caller_who_left_waited_for_is_not_computed(server: Server) -> None:
    connected(server, request_of(["cat"] * 500)).close()
    while not server.metric("te_request_failure", err="dropped"):
        pass
    assert server.post("/v1/embeddings", {"input": "rates"}).status == 200
    assert server.metric("te_batch_next_size_sum") < 250


def test_a_body_that_does_not_come_is_not_waited_for(server: Server) -> None:
    assert first_line(connected(server, request_of("cat", length=1000))) == b"HTTP/1.1 408 Request Timeout\r\n"


def test_a_body_that_does_not_come_keeps_nobody_waiting(server: Server) -> None:
    slow_callers = [connected(server, request_of("cat", length=1000)) for _ in range(100)]
    assert server.post("/v1/embeddings", {"input": "rates"}).status == 200
    assert {first_line(caller) for caller in slow_callers} == {b"HTTP/1.1 408 Request Timeout\r\n"}


def test_a_head_that_does_not_end_is_refused(server: Server) -> None:
    with connected(server, b"GET /health HTTP/1.1\r\n") as connection, pytest.raises(OSError, match=r"reset|Broken"):
        connection.sendall(b"x-name: " + b"a" * 50_000_000)

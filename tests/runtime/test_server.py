"""What a real process answers over HTTP, whatever the dialect: paths, methods, bodies, keys, ids and origins."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.routes import ROUTES
from tests.runtime.conftest import Folders
from tests.runtime.server import Answer, Server, run_command, running_server
from tests.runtime.wire import cohere_error, native_error, openai_error, status_and_body


def test_health_is_ok_once_models_are_loaded(server: Server) -> None:
    assert status_and_body(server.request("GET", "/health")) == (200, {"status": "ok"})


def test_an_unknown_path_under_v1_is_refused_as_openai_does(server: Server) -> None:
    assert status_and_body(server.post("/v1/completions", {})) == (
        404,
        openai_error("there is no `/v1/completions` here", code="unknown_url"),
    )


def test_an_unknown_path_is_refused(server: Server) -> None:
    assert status_and_body(server.request("GET", "/no")) == (404, native_error("there is no `/no` here"))


def test_an_unknown_path_under_v2_is_refused_as_cohere_does(server: Server) -> None:
    assert status_and_body(server.post("/v2/chat", {})) == (404, cohere_error("there is no `/v2/chat` here"))


def test_a_path_with_a_stroke_too_many_is_none(server: Server) -> None:
    assert server.post("/embed/", {"inputs": "cat"}).status == 404


def test_another_method_is_refused_with_those_that_are_taken(server: Server) -> None:
    answer = server.request("GET", "/v1/embeddings")
    assert (answer.headers["allow"], *status_and_body(answer)) == (
        "POST",
        405,
        openai_error("`/v1/embeddings` does not take `GET`", code="method_not_allowed"),
    )


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/jsonl"}])
def test_a_body_that_does_not_claim_to_be_json_is_refused(server: Server, headers: dict[str, str]) -> None:
    answer = server.request("POST", "/rerank", b"{}", headers)
    given = headers.get("Content-Type", "")
    assert status_and_body(answer) == (415, native_error(f"send `Content-Type: application/json`, not `{given}`"))


def test_a_charset_beside_the_type_is_taken(server: Server) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert server.request("POST", "/v1/embeddings", b'{"input": "cat"}', headers).status == 200


@pytest.mark.parametrize("path", ["/v1/embeddings", "/rerank"])
def test_a_body_that_is_not_json_is_refused(server: Server, path: str) -> None:
    answer = server.post_bytes(path, b"{")
    assert (answer.status, "the body is not JSON" in str(answer.body)) == (400, True)


def test_a_body_above_the_limit_is_refused_and_still_answered(server: Server) -> None:
    answer = server.post("/v1/embeddings", {"input": "a" * 3_000_000})
    assert status_and_body(answer) == (
        413,
        openai_error("the body is longer than `100000` bytes", code="payload_too_large"),
    )


def test_a_body_of_undeclared_length_is_limited_too(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("POST", "/rerank", iter([b" " * 60_000] * 3), {"Content-Type": "application/json"})
    assert connection.getresponse().status == 413
    connection.close()


@pytest.fixture(scope="module")
def guarded(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("from-the-file\n\nanother\n")
    with running_server(
        folders.bundle,
        api_key="from-the-environment",
        api_key_file=str(keys),
        cors_allow_origin="https://a.example",
        body_timeout_s="1",
    ) as server:
        yield server


def asked_with(server: Server, path: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request(
        "POST", path, b'{"inputs": "cat", "input": "cat"}', {"Content-Type": "application/json", **named}
    )


@pytest.mark.parametrize("key", ["from-the-environment", "from-the-file", "another"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_each_key_opens(guarded: Server, scheme: str, key: str) -> None:
    assert asked_with(guarded, "/v1/embeddings", Authorization=f"{scheme} {key}").status == 200


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "send one of this server's keys: `Authorization: Bearer KEY`"),
        ({"Authorization": "Basic YTpi"}, "send one of this server's keys: `Authorization: Bearer KEY`"),
        ({"Authorization": "Bearer "}, "send one of this server's keys: `Authorization: Bearer KEY`"),
        ({"Authorization": "Bearer from-the"}, "the key is none of this server's"),
        ({"Authorization": "Bearer \xe9"}, "the key is none of this server's"),
    ],
)
def test_without_a_key_nothing_is_embedded(guarded: Server, headers: dict[str, str], message: str) -> None:
    answer = asked_with(guarded, "/v1/embeddings", **headers)
    assert (answer.headers["www-authenticate"], *status_and_body(answer)) == (
        "Bearer",
        401,
        openai_error(message, kind="authentication_error", code="invalid_api_key"),
    )


def test_what_is_public_needs_no_key(guarded: Server) -> None:
    statuses = {
        (route.method, route.path): guarded.request(route.method, route.path.replace("{model}", "tiny")).status
        for route in ROUTES
    }
    open_to_all = {path for (_, path), status in statuses.items() if status != 401}
    assert open_to_all == {"/health", "/readyz", "/livez", "/metrics"}


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_the_documentation_needs_no_key(guarded: Server, path: str) -> None:
    assert guarded.request("GET", path).status == 200


def test_the_probe_sends_a_key(guarded: Server) -> None:
    arguments = ("probe", "/embed", "--json", '{"inputs": "cat"}')
    done = run_command(*arguments, hostname="127.0.0.1", http_port=str(guarded.port), api_key="from-the-environment")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_key_file_without_a_key_does_not_open_the_server(folders: Folders, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("\n")
    done = run_command(bundle=str(folders.bundle), api_key_file=str(file))
    assert (done.returncode, done.stderr) == (
        2,
        f"error: `RUNTIME_API_KEY_FILE`: `{file}` has to hold one key a line, "
        "printable ASCII without spaces and commas\n",
    )


def test_a_browser_may_send_a_key_and_json_from_an_origin_that_is_named(guarded: Server) -> None:
    answer = preflight(guarded, "https://a.example")
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-os"
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_a_browser_may_not_from_another(guarded: Server) -> None:
    answer = preflight(guarded, "https://b.example")
    assert (answer.status, answer.headers.get("access-control-allow-origin")) == (400, None)


def test_a_browser_can_read_why_it_was_refused(guarded: Server) -> None:
    answer = asked_with(guarded, "/v1/embeddings", Origin="https://a.example")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, "https://a.example")
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_no_other_origin_is_let_in_unless_it_is_named(server: Server) -> None:
    answer = asked_with(server, "/v1/embeddings", Origin="https://a.example")
    assert (answer.status, answer.headers.get("access-control-allow-origin")) == (200, None)


def preflight(server: Server, origin: str) -> Answer:
    asked = "authorization,content-type,x-stainless-os"
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    return server.request("OPTIONS", "/v1/embeddings", None, headers)


def test_the_id_of_a_request_is_given_back(server: Server) -> None:
    assert asked_with(server, "/embed", X_Request_Id="trace-1/2").headers["x-request-id"] == "trace-1/2"


@pytest.mark.parametrize("sent", ["", "two words", "a" * 129, "\xe9", '"quoted"'])
def test_an_id_that_is_not_fit_for_a_log_is_replaced(server: Server, sent: str) -> None:
    given = asked_with(server, "/embed", X_Request_Id=sent).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", given)


def test_an_error_has_an_id_too(server: Server) -> None:
    assert asked_with(server, "/no", X_Request_Id="trace-1").headers["x-request-id"] == "trace-1"


def test_a_body_that_does_not_come_is_given_up(guarded: Server) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as connection:
        head = "POST /v2/embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
        connection.sendall(f"{head}Authorization: Bearer another\r\n\r\n{{".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = json.loads(answer.read())
    assert (answer.status, answer.getheader("connection"), body) == (
        408,
        "close",
        cohere_error("the body did not arrive within `1` s"),
    )

import asyncio
import logging

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from runtime.admission import Admission
from runtime.api import Api
from runtime.app import Endpoint, answering_errors
from runtime.bundle import Bundle
from runtime.metrics import Metrics
from runtime.service import Service
from runtime.settings import Settings

FAILED = "the server failed to answer; its log says why"


def request_for(path: str, message: Message | None = None) -> Request:
    async def receive() -> Message:
        return message or {"type": "http.request", "body": b'{"input": "cat"}', "more_body": False}

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    return Request(scope, receive)


def api_that_is_loading(bundle: Bundle) -> Api:
    admission = Admission(max_entries=8, max_tokens=64)
    service = Service(bundle, threads=1, max_batch_tokens=64, admission=admission, metrics=Metrics())
    return Api(service, settings=Settings(payload_limit=1000, max_client_batch_size=8))


def answer_of(endpoint: Endpoint, path: str, message: Message | None = None) -> Response:
    async def ask() -> Response:
        return await endpoint(request_for(path, message))

    return asyncio.run(ask())


async def failing(_request: Request) -> Response:
    raise ValueError("secret")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/embeddings",
            f'{{"error":{{"message":"{FAILED}","type":"server_error","param":null,"code":"internal_error"}}}}',
        ),
        ("/rerank", f'{{"error":"{FAILED}","error_type":"Backend","message":"{FAILED}"}}'),
    ],
)
def test_an_inner_failure_is_answered_without_details(path: str, body: str) -> None:
    response = answer_of(answering_errors(failing), path)
    assert (response.status_code, bytes(response.body).decode()) == (500, body)


def test_an_inner_failure_is_logged_with_its_details(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer_of(answering_errors(failing), "/rerank")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("runtime.app", "POST /rerank failed")]
    assert "ValueError: secret" in caplog.text


def test_health_says_that_models_are_loading(bundle: Bundle) -> None:
    response = answer_of(api_that_is_loading(bundle).health, "/health")
    assert (response.status_code, bytes(response.body)) == (503, b'{"status":"loading"}')


def test_a_request_that_comes_too_early_is_told_so(bundle: Bundle) -> None:
    endpoint = answering_errors(api_that_is_loading(bundle).embeddings)
    response = answer_of(endpoint, "/v1/embeddings")
    assert (response.status_code, bytes(response.body)) == (
        503,
        b'{"error":{"message":"the models are not loaded yet","type":"server_error","param":null,"code":"loading"}}',
    )


def test_a_caller_who_hangs_up_is_no_failure(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = answering_errors(api_that_is_loading(bundle).embeddings)
    answer_of(endpoint, "/v1/embeddings", {"type": "http.disconnect"})
    assert caplog.records == []

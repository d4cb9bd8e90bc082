import asyncio
import logging
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from runtime.admission import Admission
from runtime.answers import Dialect
from runtime.api import Api, Endpoint, response_of
from runtime.app import answering_errors
from runtime.bundle import Bundle
from runtime.handler import Backend
from runtime.health import health
from runtime.keys import Keys
from runtime.metrics import Metrics
from runtime.routes import ROUTES
from runtime.schemas import NoFields
from runtime.service import Service
from runtime.settings import Settings

FAILED = "the server failed to answer; its log says why"


def request_for(path: str, message: Message | None = None) -> Request:
    async def receive() -> Message:
        return message or {"type": "http.request", "body": b'{"input": "cat"}', "more_body": False}

    headers = [(b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": headers,
        "request_id": "id-1",
    }
    return Request(scope, receive)


def loading(bundle: Bundle) -> Backend:
    admission = Admission(max_entries=8, max_tokens=64)
    service = Service(
        bundle, golden=Path("/nowhere"), threads=1, max_batch_tokens=64, admission=admission, metrics=Metrics()
    )
    return Backend(service=service, settings=Settings())


def endpoint_that_is_loading(bundle: Bundle, *, path: str) -> Endpoint:
    (route,) = (route for route in ROUTES if route.path == path)
    return Api(loading(bundle), keys=Keys([])).endpoint(route)


def answer_of(endpoint: Endpoint, path: str, message: Message | None = None) -> Response:
    async def ask() -> Response:
        return await endpoint(request_for(path, message))

    return asyncio.run(ask())


async def failing(_request: Request) -> Response:
    raise ValueError("secret")


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (
            "openai",
            f'{{"error":{{"message":"{FAILED}","type":"server_error","param":null,"code":"internal_error"}}}}',
        ),
        ("cohere", f'{{"message":"{FAILED}"}}'),
        ("native", f'{{"error":"{FAILED}","error_type":"Backend","message":"{FAILED}"}}'),
    ],
)
def test_an_inner_failure_is_answered_without_details(dialect: Dialect, body: str) -> None:
    response = answer_of(answering_errors(failing, dialect=dialect), "/rerank")
    assert (response.status_code, bytes(response.body).decode()) == (500, body)


def test_an_inner_failure_is_logged_with_its_details_and_the_id_of_its_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        answer_of(answering_errors(failing, dialect="native"), "/rerank")
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("runtime.app", "POST /rerank failed")
    assert vars(record)["request_id"] == "id-1"
    assert "ValueError: secret" in caplog.text


def test_health_says_that_models_are_loading(bundle: Bundle) -> None:
    response = response_of(asyncio.run(health(loading(bundle), NoFields())))
    assert (response.status_code, bytes(response.body)) == (503, b'{"status":"loading"}')


def test_a_request_that_comes_too_early_is_told_so(bundle: Bundle) -> None:
    endpoint = answering_errors(endpoint_that_is_loading(bundle, path="/v1/embeddings"), dialect="openai")
    response = answer_of(endpoint, "/v1/embeddings")
    assert (response.status_code, bytes(response.body)) == (
        503,
        b'{"error":{"message":"the models are not loaded yet","type":"server_error","param":null,"code":"loading"}}',
    )


def test_a_caller_who_hangs_up_is_no_failure(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = answering_errors(endpoint_that_is_loading(bundle, path="/v1/embeddings"), dialect="openai")
    answer_of(endpoint, "/v1/embeddings", {"type": "http.disconnect"})
    assert caplog.records == []

"""Requests that fit the OpenAPI document, and requests that do not, are answered as the document says."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from runtime.openapi import document
from runtime.routes import ROUTES
from tests.fuzz.conftest import Sent
from tests.runtime.server import Server

SCHEMA = schemathesis.openapi.from_dict(document(ROUTES, has_keys=False))
PATHS = [route.path for route in ROUTES if route.method == "POST"]
ADDRESSES = [route.path for route in ROUTES if route.method == "GET"]
MODES = list(schemathesis.GenerationMode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", PATHS)
def test_a_request_is_answered_as_the_document_says(
    server: Server, sent: Sent, effort: Callable[[float], settings], path: str, mode: schemathesis.GenerationMode
) -> None:
    ask = asking(server, sent)
    effort(0.5 / len(PATHS) / len(MODES))(given(SCHEMA[path]["POST"].as_strategy(mode))(ask))()


@pytest.mark.parametrize("path", ADDRESSES)
def test_an_address_is_answered_as_the_document_says(
    server: Server, sent: Sent, effort: Callable[[float], settings], path: str
) -> None:
    ask = asking(server, sent)
    effort(0.02)(given(SCHEMA[path]["GET"].as_strategy())(ask))()


def asking(server: Server, sent: Sent) -> Callable[[Any], None]:
    session = requests.Session()

    def ask(case: Any) -> None:
        response = case.call(base_url=f"http://127.0.0.1:{server.port}", session=session, timeout=20)
        sent[case.path, response.status_code] += 1
        # a schema cannot say which models, prompts and widths there are
        case.validate_response(response, excluded_checks=[positive_data_acceptance])

    return ask

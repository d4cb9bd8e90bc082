"""The OpenAPI document is valid, describes every route that is served, and its examples are true."""

from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from runtime.examples import EXAMPLES
from runtime.openapi import document
from runtime.routes import ROUTES, Route
from tests.conftest import Golden
from tests.runtime.server import Server

POSTS = [route for route in ROUTES if route.method == "POST"]


def outline(described: dict[str, Any]) -> str:
    """Write what a client relies on, a line for each route and each field."""
    lines = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            lines.append(f"{method.upper()} {path} -> {' '.join(operation['responses'])}")
            lines += [f"  {item['in']} {item['name']}" for item in operation.get("parameters", [])]
            lines += [f"  {body}" for body in bodies(operation)]
    for name, schema in described["components"]["schemas"].items():
        lines.append(name)
        required = schema.get("required", [])
        lines += [f"  {field}{'' if field in required else '?'}" for field in schema["properties"]]
    return "\n".join(lines) + "\n"


def bodies(operation: dict[str, Any]) -> list[str]:
    described = [operation["requestBody"]] if "requestBody" in operation else []
    described.append(operation["responses"]["200"])
    contents = [body["content"].items() for body in described]
    return [f"{media} {msgspec.json.encode(held['schema']).decode()}" for each in contents for media, held in each]


def test_what_clients_rely_on_is_seen_to_change(golden: Golden) -> None:
    golden.check(outline(document(ROUTES, has_keys=True)), "openapi.txt")


@pytest.mark.parametrize("has_keys", [True, False])
def test_the_document_is_valid(*, has_keys: bool) -> None:
    OpenAPIV31SpecValidator(document(ROUTES, has_keys=has_keys)).validate()


def test_the_server_serves_the_document(server: Server) -> None:
    assert server.request("GET", "/openapi.json").body == document(ROUTES, has_keys=False)


def test_only_what_needs_a_key_says_so() -> None:
    paths = document(ROUTES, has_keys=True)["paths"]
    guarded = {
        (method.upper(), path) for path, methods in paths.items() for method in methods if "security" in methods[method]
    }
    assert guarded == {(route.method, route.path) for route in ROUTES if not route.public}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_an_answer_that_is_shown_has_the_shape_of_its_route(route: Route) -> None:
    shown = msgspec.to_builtins(EXAMPLES[route.handler].response)
    read = msgspec.convert(shown, route.response)
    assert msgspec.json.decode(msgspec.json.encode(read)) == shown


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.name)
def test_a_request_that_is_shown_is_answered_in_the_shape_of_its_route(server: Server, route: Route) -> None:
    answer = server.post(route.path, msgspec.to_builtins(EXAMPLES[route.handler].request))
    assert answer.status == 200
    msgspec.convert(answer.body, route.response)


def test_every_handler_of_a_route_has_an_example() -> None:
    assert set(EXAMPLES) == {route.handler for route in ROUTES}

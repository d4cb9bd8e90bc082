"""Own the OpenAPI document of a table of routes, made of the types that msgspec reads and writes; it serves nothing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

import runtime
from runtime import errors
from runtime.answers import ANSWERS, INTERNAL, Dialect
from runtime.examples import EXAMPLES
from runtime.routes import Route
from runtime.schemas import CohereError, NativeError, OpenAIError

Json = dict[str, Any]

_DESCRIPTION = """\
One server in several dialects: OpenAI's, Cohere's, Jina's and that of text-embeddings-inference (TEI). \
Null is absent for every optional field, and fields that are not described here are ignored."""

_ERROR_BODIES: Mapping[Dialect, type[Any]] = {"openai": OpenAIError, "cohere": CohereError, "native": NativeError}
_GROUPS: Mapping[Dialect, str] = {"openai": "OpenAI", "cohere": "Cohere", "native": "TEI"}

_OF_THE_ROUTER = {errors.UnknownRouteError, errors.MethodError}  # no route answers these
_OF_AN_ADDRESS = {errors.UnauthorizedError, errors.InvalidError, errors.UnknownModelError}

_HEADERS = {
    "x-request-id": "the id of this request: the one that was sent, or one that was made",
    "x-total-time": "milliseconds from the request to its answer",
    "x-compute-tokens": "tokens that the graph read, where one ran",
    "x-truncated": "how many texts were cut, where any were",
}


def document(routes: Sequence[Route], *, has_keys: bool) -> Json:
    """Describe every route; what is said of keys depends on whether there are any."""
    shapes = [shape for route in routes for shape in _shapes(route)]
    schemas, components = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    schema_of = _Schemas(shapes, schemas)
    paths: defaultdict[str, Json] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, schema_of, has_keys=has_keys)
    keys = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}} if has_keys else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "build-image runtime", "version": runtime.__version__, "description": _DESCRIPTION},
        "paths": dict(paths),
        "components": {"schemas": components, **keys},
    }


class _Schemas:
    """Finds the schema of a type, which need not be hashable."""

    def __init__(self, shapes: Sequence[Any], schemas: Sequence[Json]) -> None:
        self._shapes = shapes
        self._schemas = schemas

    def content(self, shape: Any, example: object = None, *, media_type: str = "application/json") -> Json:  # noqa: ANN401 - as `Route.response`
        """Describe a body of a type."""
        media: Json = {"schema": self._schemas[self._shapes.index(shape)]}
        if example is not None:
            media["example"] = example
        return {media_type: media}


def _shapes(route: Route) -> Iterator[Any]:
    if route.method == "POST":
        yield route.request
    yield from (route.response, *route.other.values(), _ERROR_BODIES[route.dialect])


def _operation(route: Route, schema_of: _Schemas, *, has_keys: bool) -> Json:
    example = EXAMPLES.get(route.handler)
    operation: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": ["Server" if route.public else _GROUPS[route.dialect]],
        "responses": _responses(route, schema_of, has_keys=has_keys),
    }
    if route.method == "POST":
        content = schema_of.content(route.request, None if example is None else example.request)
        operation["requestBody"] = {"required": True, "content": content}
    elif parameters := _parameters(route):
        operation["parameters"] = parameters
    if has_keys and not route.public:
        operation["security"] = [{"key": []}]
    return operation


def _parameters(route: Route) -> list[Json]:
    """Describe the fields of an address, which are all text."""
    return [
        {
            "name": field.name,
            "in": "path" if f"{{{field.name}}}" in route.path else "query",
            "required": field.required,
            "schema": {"type": "string"},
        }
        for field in msgspec.structs.fields(route.request)
    ]


def _responses(route: Route, schema_of: _Schemas, *, has_keys: bool) -> Json:
    example = EXAMPLES.get(route.handler)
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()}
    success = {
        "description": "The answer.",
        "headers": headers,
        "content": schema_of.content(
            route.response, None if example is None else example.response, media_type=route.media_type
        ),
    }
    refusals = {
        str(status): {
            "description": " ".join(sentences),
            "content": schema_of.content(_ERROR_BODIES[route.dialect]),
        }
        for status, sentences in sorted(_refusals(route, has_keys=has_keys).items())
    }
    others = {
        str(status): {"description": "Not now.", "content": schema_of.content(shape)}
        for status, shape in route.other.items()
    }
    return {"200": success, **refusals, **others}


def _refusals(route: Route, *, has_keys: bool) -> Mapping[int, list[str]]:
    """Say with which statuses a route refuses, and why."""
    sentences: defaultdict[int, list[str]] = defaultdict(list)
    for error, row in ANSWERS.items():
        if error in _raised(route, has_keys=has_keys):
            sentences[row.status(route.dialect)].append(error.__doc__ or "")
    sentences[INTERNAL.status(route.dialect)].append("The server failed, and its log says why.")
    return sentences


def _raised(route: Route, *, has_keys: bool) -> set[type[errors.RequestError]]:
    if route.method == "POST":
        raised = set(ANSWERS) - _OF_THE_ROUTER
    else:
        raised = _OF_AN_ADDRESS if _parameters(route) else {errors.UnauthorizedError}
    return raised if has_keys and not route.public else raised - {errors.UnauthorizedError}

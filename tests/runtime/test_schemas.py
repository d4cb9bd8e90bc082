import msgspec
import pytest

from runtime import schemas
from runtime.errors import InvalidError, MalformedError
from runtime.examples import EXAMPLES
from runtime.openai_shapes import EmbeddingsRequest
from runtime.routes import ROUTES, Route
from runtime.tei_shapes import InfoRequest

MALFORMED = [
    b"",
    b"{",
    b'{"input":"a"}x',
    b'{"input":NaN}',
    b'{"input":"\xff"}',
    b'{"input":"\\ud800 and some more text"}',
    b'{"input":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]


@pytest.mark.parametrize("body", MALFORMED)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        schemas.decode(body, EmbeddingsRequest)


def test_a_body_that_is_not_utf8_is_not_quoted() -> None:
    with pytest.raises(MalformedError) as caught:
        schemas.decode(b'{"input":"secret \xff"}', EmbeddingsRequest)
    assert caught.value.message == "the body is not UTF-8: byte `17` is none of it"


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"[]", None, "Expected `object`, got `array`"),
        (b"{}", None, "Object missing required field `input`"),
        (b'{"input":3}', "input", "Expected `str | array`, got `int`"),
        (b'{"input":["a",null]}', "input[1]", "Expected `int | str | object | array`, got `null`"),
        (b'{"input":"a","dimensions":0}', "dimensions", "Expected `int` >= 1"),
        (b'{"input":"a","dimensions":"2"}', "dimensions", "Expected `int | null`, got `str`"),
        (b'{"input":"a","encoding_format":"hex"}', "encoding_format", "Invalid enum value 'hex'"),
    ],
)
def test_a_field_that_does_not_fit_is_named(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        schemas.decode(body, EmbeddingsRequest)
    assert (caught.value.param, caught.value.message) == (param, message)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "POST"], ids=lambda route: route.name)
def test_null_is_absent_for_every_optional_field(route: Route) -> None:
    asked = msgspec.to_builtins(EXAMPLES[route.handler].request)
    nulls = {field.name: None for field in msgspec.structs.fields(route.request) if not field.required}
    with_nulls = schemas.decode(schemas.encode(nulls | asked), route.request)
    assert schemas.encode(with_nulls) == schemas.encode(schemas.decode(schemas.encode(asked), route.request))


def test_what_an_address_says_is_read_like_a_body() -> None:
    assert schemas.convert({"model": "tiny", "other": "ignored"}, InfoRequest) == InfoRequest(model="tiny")

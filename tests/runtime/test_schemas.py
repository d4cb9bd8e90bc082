import pytest

from runtime import schemas
from runtime.errors import InvalidError, MalformedError

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
        schemas.decode(body, schemas.EmbeddingsRequest)


def test_a_body_that_is_not_utf8_is_not_quoted() -> None:
    with pytest.raises(MalformedError) as caught:
        schemas.decode(b'{"input":"secret \xff"}', schemas.EmbeddingsRequest)
    assert caught.value.message == "the body is not UTF-8: byte `7` of a text is none of it"


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"[]", None, "Expected `object`, got `array`"),
        (b"{}", None, "Object missing required field `input`"),
        (b'{"input":3}', "input", "Expected `str | array`, got `int`"),
        (b'{"input":["a",null]}', "input[1]", "Expected `int | str | array`, got `null`"),
        (b'{"input":"a","dimensions":0}', "dimensions", "Expected `int` >= 1"),
        (b'{"input":"a","dimensions":"2"}', "dimensions", "Expected `int | null`, got `str`"),
        (b'{"input":"a","encoding_format":"hex"}', "encoding_format", "Invalid enum value 'hex'"),
    ],
)
def test_a_field_that_does_not_fit_is_named(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        schemas.decode(body, schemas.EmbeddingsRequest)
    assert (caught.value.param, caught.value.message) == (param, message)


def test_null_is_absent_for_every_optional_field() -> None:
    body = b'{"input":"a","model":null,"encoding_format":null,"dimensions":null,"prompt_name":null,"user":null}'
    assert schemas.decode(body, schemas.EmbeddingsRequest) == schemas.EmbeddingsRequest(input="a")


def test_null_is_absent_for_every_optional_field_of_rerank() -> None:
    body = (
        b'{"query":"a","model":null,"documents":null,"top_n":null,"return_documents":null,'
        b'"texts":null,"raw_scores":null,"return_text":null}'
    )
    assert schemas.decode(body, schemas.RerankRequest) == schemas.RerankRequest(query="a")

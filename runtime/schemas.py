"""Own the JSON codec, and the values that dialects have in common; what the values mean is their dialect's."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import msgspec

from runtime.errors import InvalidError, MalformedError

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class TextDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A text as an object, as Jina also takes it."""

    text: str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that the graph read: special ones counted, padding not."""

    prompt_tokens: int
    total_tokens: int


class NoFields(msgspec.Struct, frozen=True, kw_only=True):
    """A request that asks for nothing but its answer."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether requests are answered."""

    status: Literal["ok", "loading", "draining"]


class OpenAIErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The four fields that OpenAI always sends."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(msgspec.Struct, frozen=True, kw_only=True):
    """An error on OpenAI's routes, and where nothing is under `/v1/`."""

    error: OpenAIErrorDetail


class CohereError(msgspec.Struct, frozen=True, kw_only=True):
    """An error on Cohere's routes."""

    message: str


class NativeError(msgspec.Struct, frozen=True, kw_only=True):
    """An error elsewhere: TEI's two fields, and the one that Cohere's clients read."""

    error: str
    error_type: str
    message: str


Shape = TypeVar("Shape", bound=msgspec.Struct)
Field = TypeVar("Field")

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


def decode(body: bytes, shape: type[Shape]) -> Shape:
    """Read a request.

    Raises MalformedError for what is not JSON and InvalidError, with the path of the field, for what has another shape.
    """
    try:
        body.decode()  # whole, for msgspec looks into no text that it passes on as it is
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except msgspec.DecodeError as error:
        raise MalformedError(f"the body is not JSON: {error}") from error
    except UnicodeDecodeError as error:  # its text would quote the body
        raise MalformedError(f"the body is not UTF-8: byte `{error.start}` is none of it") from error
    except RecursionError as error:
        raise MalformedError("the body is nested too deeply") from error


def decode_field(value: msgspec.Raw, shape: type[Field], *, param: str) -> Field:
    """Read a field that was passed on as it came.

    Raises InvalidError with the name that it is given.
    """
    try:
        return msgspec.json.decode(value, type=shape)
    except msgspec.ValidationError as error:
        raise InvalidError(str(error), param=param) from error


def convert(fields: Mapping[str, str], shape: type[Shape]) -> Shape:
    """Read a request without a body, from the fields of its address.

    Raises InvalidError with the name of the field.
    """
    try:
        return msgspec.convert(fields, shape, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error


def encode(answer: object) -> bytes:
    """Write an answer; numbers in it have to be finite, for msgspec would write null for NaN."""
    return msgspec.json.encode(answer)


def _invalid(error: msgspec.ValidationError) -> InvalidError:
    message = str(error)
    found = _PATH.search(message)
    return InvalidError(_PATH.sub("", message), param=(found["path"] or None) if found else None)


def encode_readable(report: object) -> str:
    """Write a report as people read it, indented and with a newline at its end."""
    return msgspec.json.format(encode(report), indent=2).decode() + "\n"

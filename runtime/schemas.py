"""Own the JSON that is read and written, in each dialect, and the codec; what the values mean is `api`'s."""

import re
from typing import Annotated, Literal, TypeVar

import msgspec

from runtime.errors import InvalidError, MalformedError

_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class EmbeddingsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's request, and which prompt to put before each text; null means absent everywhere."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: _AtLeastOne | None = None
    prompt_name: str | None = None


class TextDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document as an object, as Cohere and Jina also take and always return it."""

    text: str


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Both shapes of a rerank request: `documents` makes it Cohere's and Jina's, `texts` makes it TEI's."""

    query: str
    model: str | None = None
    documents: list[str | TextDocument] | None = None
    top_n: _AtLeastOne | None = None
    return_documents: bool | None = None
    texts: list[str] | None = None
    raw_scores: bool | None = None
    return_text: bool | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that the graph read: special ones counted, padding not."""

    prompt_tokens: int
    total_tokens: int


class Embedding(msgspec.Struct, frozen=True, kw_only=True):
    """One embedding: numbers, or little-endian float32 in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's answer."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class RerankResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One document's place in Cohere's and Jina's answer."""

    index: int
    relevance_score: float
    document: TextDocument | None = None


class RerankResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Cohere's and Jina's answer."""

    model: str
    results: list[RerankResult]
    usage: Usage


class RankedText(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One text's place in TEI's answer, which is a bare list of these."""

    index: int
    score: float
    text: str | None = None


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
    """An error on `/v1/*`."""

    error: OpenAIErrorDetail


class NativeError(msgspec.Struct, frozen=True, kw_only=True):
    """An error elsewhere: TEI's two fields, and the one that Cohere's clients read."""

    error: str
    error_type: str
    message: str


Shape = TypeVar("Shape", bound=msgspec.Struct)

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


def decode(body: bytes, shape: type[Shape]) -> Shape:
    """Read a request.

    Raises MalformedError for what is not JSON and InvalidError, with the path of the field, for what has another shape.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        message = str(error)
        found = _PATH.search(message)
        raise InvalidError(_PATH.sub("", message), param=(found["path"] or None) if found else None) from error
    except msgspec.DecodeError as error:
        raise MalformedError(f"the body is not JSON: {error}") from error
    except UnicodeDecodeError as error:  # its text would quote the body
        raise MalformedError(f"the body is not UTF-8: byte `{error.start}` of a text is none of it") from error
    except RecursionError as error:
        raise MalformedError("the body is nested too deeply") from error


def encode(answer: object) -> bytes:
    """Write an answer; numbers in it have to be finite, for msgspec would write null for NaN."""
    return msgspec.json.encode(answer)


def encode_readable(report: object) -> str:
    """Write a report as people read it, indented and with a newline at its end."""
    return msgspec.json.format(encode(report), indent=2).decode() + "\n"

"""Own the JSON of Cohere's routes, with what Jina's clients read of an answer; what it means is `cohere_dialect`'s."""

from typing import Any, Literal

import msgspec

from runtime.schemas import AtLeastOne, Usage

ApiVersionNumber = Literal["1", "2"]
EmbeddingType = Literal["float", "base64", "binary", "ubinary"]
RefusedType = Literal["int8", "uint8"]
InputType = Literal["search_query", "search_document", "classification", "clustering", "image"]

# A document is text, or an object whose values are passed on as they came.
Document = str | dict[str, msgspec.Raw]


class CohereRerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Cohere's request, in version 1 and 2, and Jina's; `raw_scores` is Infinity's, and `prompt_name` our own.

    `rank_fields` are the texts of a document that is an object.
    """

    query: str
    documents: list[Document]
    model: str | None = None
    top_n: AtLeastOne | None = None
    return_documents: bool | None = None
    rank_fields: list[str] | None = None
    max_tokens_per_doc: AtLeastOne | None = None
    raw_scores: bool | None = None
    prompt_name: str | None = None
    relevant_spans: dict[str, msgspec.Raw] | None = None


class ApiVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Which of Cohere's versions an answer is like."""

    version: ApiVersionNumber


class BilledUnits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What Cohere would count: tokens, or searches of up to 100 documents each."""

    input_tokens: int | None = None
    search_units: int | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that the graph read: special ones counted, padding not."""

    input_tokens: int
    output_tokens: int = 0


class Meta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What there is to say of an answer; `warnings` tell what was cut."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens
    warnings: list[str] | None = None


class RerankResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One document's place; a text comes back as an object, an object as it was."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class RerankResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The best first: `id` and `meta` are Cohere's, `model` and `usage` Jina's."""

    id: str
    model: str
    results: list[RerankResult]
    meta: Meta
    usage: Usage


class CohereEmbedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Cohere's request, version 2."""

    texts: list[str] | None = None
    model: str | None = None
    input_type: InputType | None = None
    embedding_types: list[EmbeddingType | RefusedType] | None = None
    output_dimension: AtLeastOne | None = None
    truncate: Literal["NONE", "START", "END"] | None = None
    max_tokens: AtLeastOne | None = None
    images: list[str] | None = None
    inputs: list[dict[str, msgspec.Raw]] | None = None


class CohereEmbedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Cohere's answer, version 2."""

    response_type: Literal["embeddings_by_type"] = "embeddings_by_type"
    id: str
    embeddings: dict[EmbeddingType, list[list[float] | str]]
    texts: list[str]
    meta: Meta

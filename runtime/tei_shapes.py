"""Own the JSON of the routes of text-embeddings-inference (TEI); what they mean is `tei_dialect`'s.

`model` is this server's own everywhere: TEI serves one.
"""

from typing import Any, Literal

import msgspec

from runtime.bundle import Task
from runtime.cohere_shapes import Document
from runtime.schemas import AtLeastOne

TruncationDirection = Literal["Left", "Right", "left", "right"]


class EmbedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts, or token ids: a list of numbers is the ids of one text."""

    inputs: str | list[str | int | list[int]]
    model: str | None = None
    truncate: bool | None = None
    truncation_direction: TruncationDirection | None = None
    prompt_name: str | None = None
    normalize: bool | None = None
    dimensions: AtLeastOne | None = None


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """TEI's request has `texts`; one that has `documents` is Cohere's or Jina's."""

    query: str
    model: str | None = None
    texts: list[str] | None = None
    truncate: bool | None = None
    truncation_direction: TruncationDirection | None = None
    raw_scores: bool | None = None
    return_text: bool | None = None
    prompt_name: str | None = None
    documents: list[Document] | None = None
    top_n: AtLeastOne | None = None
    return_documents: bool | None = None
    rank_fields: list[str] | None = None
    max_tokens_per_doc: AtLeastOne | None = None


class RankedText(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One text's place in TEI's answer, which is a bare list of these."""

    index: int
    score: float
    text: str | None = None


class PredictRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A text, a list of one text, a list of two that is a pair, or a list of such lists."""

    inputs: str | list[str | list[str]]
    model: str | None = None
    truncate: bool | None = None
    truncation_direction: TruncationDirection | None = None
    raw_scores: bool | None = None


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one label."""

    score: float
    label: str


class SimilarityInputs(msgspec.Struct, frozen=True, kw_only=True):
    """One text, and those that it is compared with."""

    source_sentence: str
    sentences: list[str]


class SimilarityParameters(msgspec.Struct, frozen=True, kw_only=True):
    """How both sides are embedded."""

    truncate: bool | None = None
    truncation_direction: TruncationDirection | None = None
    prompt_name: str | None = None


class SimilarityRequest(msgspec.Struct, frozen=True, kw_only=True):
    """TEI's request."""

    inputs: SimilarityInputs
    parameters: SimilarityParameters | None = None
    model: str | None = None


class TokenizeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One text or several; they are tokenized with their prompt and whole, at any length."""

    inputs: str | list[str]
    model: str | None = None
    add_special_tokens: bool | None = None
    prompt_name: str | None = None


class SimpleToken(msgspec.Struct, frozen=True, kw_only=True):
    """One token, and where it lies in the text, in bytes of UTF-8; special ones lie nowhere."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class DecodeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The token ids of one text, or of several."""

    ids: list[int | list[int]]
    model: str | None = None
    skip_special_tokens: bool | None = None


class InfoRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which model is asked about."""

    model: str | None = None


class Optimization(msgspec.Struct, frozen=True, kw_only=True):
    """The graph that a model is served with in place of its own, for which processors, and how near it came to that."""

    graph: str
    requires: tuple[str, ...]
    applied: list[str]
    skipped: list[str]
    accuracy: dict[str, float]


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """TEI's fields for one model; `models` names all that are served, `optimization` is of one that was optimised."""

    model_id: str
    model_sha: str
    model_dtype: str | None
    served_model_name: str
    model_type: dict[Task, dict[str, Any]]
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    payload_limit: int
    auto_truncate: bool
    dimensions: tuple[int, ...]
    prompts: tuple[str, ...]
    version: str
    models: list[str]
    optimization: Optimization | None

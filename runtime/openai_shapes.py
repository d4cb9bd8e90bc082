"""Own the JSON of OpenAI's routes, with the fields that Jina adds to them; what they mean is `openai_dialect`'s."""

from typing import Literal

import msgspec

from runtime.bundle import Task
from runtime.schemas import AtLeastOne, TextDocument, Usage

JinaTask = Literal["retrieval.query", "retrieval.passage", "text-matching", "classification", "separation"]


class EmbeddingsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's request; `prompt_name` is this server's own, and what follows it is Jina's."""

    input: str | list[str | int | list[int] | TextDocument]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: AtLeastOne | None = None
    user: str | None = None
    prompt_name: str | None = None
    task: JinaTask | None = None
    embedding_type: Literal["float", "base64", "binary", "ubinary"] | None = None
    normalized: bool | None = None
    truncate: bool | None = None
    late_chunking: bool | None = None


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


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A model's name or source, from the path."""

    model: str


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's four fields, and what else a client would want to know; no dimensions where there are no vectors."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    task: Task
    source: str
    revision: str
    max_length: int
    dimensions: tuple[int, ...]
    prompts: tuple[str, ...]


class ModelsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Every model that is served."""

    object: Literal["list"] = "list"
    data: list[ModelCard]

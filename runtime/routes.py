"""Own the table of routes: which handler answers what, in which dialect; what it does is the handler's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from runtime import cohere_dialect, health, openai_dialect, tei_dialect
from runtime.answers import Dialect
from runtime.cohere_shapes import CohereEmbedRequest, CohereEmbedResponse, CohereRerankRequest, RerankResponse
from runtime.handler import Handler
from runtime.metrics import CONTENT_TYPE
from runtime.openai_shapes import (
    EmbeddingsRequest,
    EmbeddingsResponse,
    ModelCard,
    ModelRequest,
    ModelsResponse,
)
from runtime.schemas import Health, NoFields
from runtime.tei_shapes import (
    DecodeRequest,
    EmbedRequest,
    Info,
    InfoRequest,
    Prediction,
    PredictRequest,
    RankedText,
    RerankRequest,
    SimilarityRequest,
    SimpleToken,
    TokenizeRequest,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One route: `request` and `response` are what msgspec reads and writes, `other` what it writes with a status.

    A GET's request is read from its address. A public route needs no key.
    """

    method: Literal["GET", "POST"] = "POST"
    path: str
    name: str
    summary: str
    handler: Handler
    request: type[Any]
    response: Any
    other: Mapping[int, Any] = field(default_factory=dict)
    media_type: str = "application/json"
    dialect: Dialect
    public: bool = False


_EMBEDDINGS = Route(
    path="/v1/embeddings",
    name="embeddings",
    summary="Embed texts or token ids, as OpenAI and Jina do",
    handler=openai_dialect.embeddings,
    request=EmbeddingsRequest,
    response=EmbeddingsResponse,
    dialect="openai",
)
_EMBED = Route(
    path="/embed",
    name="tei_embed",
    summary="Embed texts or token ids, as TEI does",
    handler=tei_dialect.embed,
    request=EmbedRequest,
    response=list[list[float]],
    dialect="native",
)

_HEALTH = Route(
    method="GET",
    path="/health",
    name="health",
    summary="Say whether requests are answered",
    handler=health.health,
    request=NoFields,
    response=Health,
    other={503: Health},
    dialect="native",
    public=True,
)

ROUTES: Sequence[Route] = (
    _EMBEDDINGS,
    replace(_EMBEDDINGS, path="/embeddings", name="embeddings_without_v1"),
    Route(
        method="GET",
        path="/v1/models",
        name="models",
        summary="List the models",
        handler=openai_dialect.models,
        request=NoFields,
        response=ModelsResponse,
        dialect="openai",
    ),
    Route(
        method="GET",
        path="/v1/models/{model}",
        name="model",
        summary="Describe a model, by its name or source",
        handler=openai_dialect.model,
        request=ModelRequest,
        response=ModelCard,
        dialect="openai",
    ),
    Route(
        path="/v1/rerank",
        name="rerank_v1",
        summary="Rank documents, as Cohere (version 1) and Jina do",
        handler=cohere_dialect.rerank_v1,
        request=CohereRerankRequest,
        response=RerankResponse,
        dialect="cohere",
    ),
    Route(
        path="/v2/rerank",
        name="rerank_v2",
        summary="Rank documents, as Cohere (version 2) does",
        handler=cohere_dialect.rerank_v2,
        request=CohereRerankRequest,
        response=RerankResponse,
        dialect="cohere",
    ),
    Route(
        path="/v2/embed",
        name="cohere_embed",
        summary="Embed texts, as Cohere (version 2) does",
        handler=cohere_dialect.embed,
        request=CohereEmbedRequest,
        response=CohereEmbedResponse,
        dialect="cohere",
    ),
    _EMBED,
    replace(_EMBED, path="/", name="tei_embed_at_root"),
    Route(
        path="/rerank",
        name="rerank",
        summary="Rank texts, as TEI does, or documents, as Cohere and Jina do",
        handler=tei_dialect.rerank,
        request=RerankRequest,
        response=RerankResponse | list[RankedText],
        dialect="native",
    ),
    Route(
        path="/predict",
        name="tei_predict",
        summary="Score the labels of texts or pairs, as TEI does",
        handler=tei_dialect.predict,
        request=PredictRequest,
        response=list[Prediction | list[Prediction]],
        dialect="native",
    ),
    Route(
        path="/similarity",
        name="tei_similarity",
        summary="Compare a text with others by cosine, as TEI does",
        handler=tei_dialect.similarity,
        request=SimilarityRequest,
        response=list[float],
        dialect="native",
    ),
    Route(
        path="/tokenize",
        name="tei_tokenize",
        summary="List the tokens of texts, as TEI does",
        handler=tei_dialect.tokenize,
        request=TokenizeRequest,
        response=list[list[SimpleToken]],
        dialect="native",
    ),
    Route(
        path="/decode",
        name="tei_decode",
        summary="Make texts of token ids, as TEI does",
        handler=tei_dialect.decode,
        request=DecodeRequest,
        response=list[str],
        dialect="native",
    ),
    Route(
        method="GET",
        path="/info",
        name="tei_info",
        summary="Describe a model and the limits, as TEI does",
        handler=tei_dialect.info,
        request=InfoRequest,
        response=Info,
        dialect="native",
    ),
    _HEALTH,
    replace(_HEALTH, path="/readyz", name="readyz"),
    replace(_HEALTH, path="/livez", name="livez", summary="Say that the process lives", handler=health.livez, other={}),
    replace(
        _HEALTH,
        path="/metrics",
        name="metrics",
        summary="Count what is served, for Prometheus",
        handler=health.metrics,
        response=str,
        media_type=CONTENT_TYPE.partition(";")[0],
        other={},
    ),
)


def dialect_of(path: str) -> Dialect:
    """Give the dialect in which an error at a path is answered, also where there is no such path."""
    known = {route.path: route.dialect for route in ROUTES}
    if path in known:
        return known[path]
    if path.startswith("/v2/"):
        return "cohere"
    return "openai" if path.startswith("/v1/") else "native"

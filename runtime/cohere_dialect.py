"""Own what Cohere's routes mean, and Jina's rerank: request to service to answer."""

import math
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runtime.bundle import Model
from runtime.cohere_shapes import (
    ApiVersion,
    ApiVersionNumber,
    BilledUnits,
    CohereEmbedRequest,
    CohereEmbedResponse,
    CohereRerankRequest,
    Document,
    EmbeddingType,
    Meta,
    RerankResponse,
    RerankResult,
    Tokens,
)
from runtime.errors import EmptyError, InvalidError
from runtime.handler import Backend, Reply, renamed, work_headers
from runtime.prompting import prompt_for
from runtime.schemas import Usage, decode_field

if TYPE_CHECKING:  # these come with the models, after the server listens
    from runtime.embedder import Embeddings
    from runtime.reranker import Ranking

_DOCUMENTS_PER_SEARCH = 100
_TEXT_FIELD = "text"


async def rerank_v1(backend: Backend, asked: CohereRerankRequest) -> Reply:
    """Rank documents, as Cohere's and Jina's `/v1/rerank`."""
    return await rerank(backend, asked, version="1")


async def rerank_v2(backend: Backend, asked: CohereRerankRequest) -> Reply:
    """Rank documents, as Cohere's `/v2/rerank`."""
    return await rerank(backend, asked, version="2")


async def rerank(backend: Backend, asked: CohereRerankRequest, *, version: ApiVersionNumber) -> Reply:
    """Rank documents; both versions and Jina's are answered alike, but for the number."""
    if asked.relevant_spans is not None:
        raise InvalidError("no spans are found here, only documents are scored", param="relevant_spans")
    if not asked.query:
        raise EmptyError("the query is empty", param="query")
    backend.sized(asked.documents, param="documents")
    texts = [_text(document, asked.rank_fields, place) for place, document in enumerate(asked.documents)]
    model, ranking = await backend.service.rerank(
        asked.query,
        texts,
        model=asked.model,
        prompt_name=asked.prompt_name,
        top_n=asked.top_n,
        raw_scores=bool(asked.raw_scores),
        max_document_tokens=asked.max_tokens_per_doc,
    )
    searches = math.ceil(len(texts) / _DOCUMENTS_PER_SEARCH)
    answer = RerankResponse(
        id=str(uuid.uuid4()),
        model=model.name,
        results=_results(ranking, documents=asked.documents if asked.return_documents else None),
        meta=_meta(version, BilledUnits(search_units=searches), result=ranking),
        usage=Usage(prompt_tokens=ranking.tokens, total_tokens=ranking.tokens),
    )
    return Reply(body=answer, headers=work_headers([asked.query, *texts], result=ranking))


async def embed(backend: Backend, asked: CohereEmbedRequest) -> Reply:
    """Embed texts, as Cohere's `/v2/embed`."""
    texts = _texts(asked)
    kinds = _types(asked)
    model = backend.service.model("embedding", asked.model)
    if asked.max_tokens is not None and asked.max_tokens < model.max_length:
        raise InvalidError(f"texts are cut at `{model.max_length}` tokens, and not before", param="max_tokens")
    with renamed(input="texts", dimensions="output_dimension"):
        _, result = await backend.service.embed(
            backend.embeddable(texts, param="texts"),
            model=model.name,
            prompt_name=_prompt_name(asked, model),
            dimensions=asked.output_dimension,
            truncate=asked.truncate != "NONE",
            keep="right" if asked.truncate == "START" else "left",
        )
    answer = CohereEmbedResponse(
        id=str(uuid.uuid4()),
        embeddings={kind: result.encoded(kind) for kind in kinds},
        texts=texts,
        meta=_meta("2", BilledUnits(input_tokens=result.tokens), result=result),
    )
    return Reply(body=answer, headers=work_headers(texts, result=result))


def _text(document: Document, fields: Sequence[str] | None, place: int) -> str:
    """Give what is read of a document: of an object its field `text`, or those that are asked for, a line each."""
    if isinstance(document, str):
        return document
    wanted = fields or [_TEXT_FIELD]
    found = [name for name in wanted if name in document]
    if not found:
        names = ", ".join(f"`{name}`" for name in wanted)
        raise InvalidError(f"Object missing required field {names}", param=f"documents[{place}]")
    return "\n".join(decode_field(document[name], str, param=f"documents[{place}].{name}") for name in found)


def _results(ranking: "Ranking", *, documents: Sequence[Document] | None) -> list[RerankResult]:
    return [
        RerankResult(
            index=index, relevance_score=score, document=None if documents is None else _object(documents[index])
        )
        for index, score in zip(ranking.positions, ranking.scores, strict=True)
    ]


def _object(document: Document) -> dict[str, Any]:
    return {_TEXT_FIELD: document} if isinstance(document, str) else document


def _texts(asked: CohereEmbedRequest) -> list[str]:
    if asked.images or asked.input_type == "image":
        raise InvalidError("images are not read here, send `texts`", param="images" if asked.images else "input_type")
    if asked.inputs:
        raise InvalidError("mixed inputs are not read here, send `texts`", param="inputs")
    if asked.texts is None:
        raise InvalidError("Object missing required field `texts`")
    return asked.texts


def _types(asked: CohereEmbedRequest) -> list[EmbeddingType]:
    """Give the types that are asked for; scaled bytes would need the range of each dimension, over many texts."""
    kinds: list[EmbeddingType] = []
    for kind in asked.embedding_types or ["float"]:
        match kind:
            case "int8" | "uint8":
                message = f"`{kind}` needs the range of each dimension, and no image holds it; `binary` does not"
                raise InvalidError(message, param="embedding_types")
            case _:
                kinds.append(kind)
    return kinds


def _prompt_name(asked: CohereEmbedRequest, model: Model) -> str | None:
    if asked.input_type is None or asked.input_type == "image":
        return None
    return prompt_for(model, asked.input_type)


def _meta(version: ApiVersionNumber, billed: BilledUnits, *, result: "Ranking | Embeddings") -> Meta:
    cut = f"{result.truncated} of the texts had more tokens than are read of one, and were cut"
    return Meta(
        api_version=ApiVersion(version=version),
        billed_units=billed,
        tokens=Tokens(input_tokens=result.tokens),
        warnings=[cut] if result.truncated else None,
    )

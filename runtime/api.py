"""Own the routes, one small method each: request to service to answer; how errors are answered is `app`'s."""

import asyncio
import base64
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from runtime import schemas
from runtime.admission import Room
from runtime.errors import EmptyError, InvalidError, MediaTypeError, OverloadedError, PayloadError, SlowBodyError
from runtime.metrics import CONTENT_TYPE
from runtime.service import Service
from runtime.settings import Settings
from runtime.timings import Timings

if TYPE_CHECKING:  # numpy comes with the models, after the server listens
    import numpy as np
    from numpy.typing import NDArray

    from runtime.reranker import Ranking


_BODIES = 32  # of the greatest length that may be read at a time


class Api:
    """The routes of one service and the limits of one request."""

    def __init__(self, service: Service, *, settings: Settings) -> None:
        self._service = service
        self._payload_limit = settings.payload_limit
        self._max_client_batch_size = settings.max_client_batch_size
        self._body_timeout_s = settings.body_timeout_s
        self._bodies = Room(_BODIES * settings.payload_limit)

    async def health(self, _request: Request) -> Response:
        """Answer 200 once every model is loaded, and 503 before, and after SIGTERM."""
        if self._service.ready:
            return json_response(schemas.Health(status="ok"))
        return json_response(schemas.Health(status="draining" if self._service.draining else "loading"), status=503)

    async def livez(self, _request: Request) -> Response:
        """Answer 200: a process that can't work any more ends by itself."""
        return json_response(schemas.Health(status="ok"))

    async def metrics(self, _request: Request) -> Response:
        """Answer what Prometheus asks."""
        return Response(self._service.metrics.exposition(), media_type=CONTENT_TYPE)

    async def embeddings(self, request: Request) -> Response:
        """Embed, as OpenAI's `/v1/embeddings`."""
        asked = schemas.decode(await self._body(request), schemas.EmbeddingsRequest)
        texts = self._sized(_input_texts(asked.input), param="input")
        chosen, embeddings = await self._service.embed(
            texts, model=asked.model, prompt_name=asked.prompt_name, dimensions=asked.dimensions
        )
        encode = _base64 if asked.encoding_format == "base64" else _numbers
        answer = schemas.EmbeddingsResponse(
            data=[
                schemas.Embedding(index=index, embedding=encode(row)) for index, row in enumerate(embeddings.vectors)
            ],
            model=chosen.name,
            usage=_usage(embeddings.tokens),
        )
        return json_response(answer, truncated=embeddings.truncated, timings=embeddings.timings)

    async def rerank(self, request: Request) -> Response:
        """Rank documents: `documents` is answered as Cohere and Jina do, `texts` as TEI does."""
        asked = schemas.decode(await self._body(request), schemas.RerankRequest)
        documents, param = _documents(asked)
        if not asked.query:
            raise EmptyError("the query is empty", param="query")
        chosen, ranking = await self._service.rerank(
            asked.query,
            self._sized(documents, param=param),
            model=asked.model,
            top_n=asked.top_n,
            raw_scores=bool(asked.raw_scores),
        )
        if asked.texts is not None:
            return json_response(
                _tei(ranking, texts=asked.texts if asked.return_text else None),
                truncated=ranking.truncated,
                timings=ranking.timings,
            )
        answer = schemas.RerankResponse(
            model=chosen.name,
            results=_results(ranking, documents=documents if asked.return_documents else None),
            usage=_usage(ranking.tokens),
        )
        return json_response(answer, truncated=ranking.truncated, timings=ranking.timings)

    async def _body(self, request: Request) -> bytes:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise MediaTypeError(f"send `Content-Type: application/json`, not `{media_type}`")
        too_long = PayloadError(f"the body is longer than `{self._payload_limit}` bytes")
        if int(request.headers.get("content-length", 0)) > self._payload_limit:
            raise too_long
        if self._bodies.full:
            raise OverloadedError("too many long bodies are being read", retry_after_s=1)
        body = bytearray()
        try:
            with self._bodies.hold(int(request.headers.get("content-length", self._payload_limit))):
                async with asyncio.timeout(self._body_timeout_s):
                    async for chunk in request.stream():
                        body += chunk
                        if len(body) > self._payload_limit:
                            raise too_long
        except TimeoutError as error:
            raise SlowBodyError(f"the body did not arrive within `{self._body_timeout_s}` s") from error
        return bytes(body)

    def _sized(self, texts: list[str], *, param: str) -> list[str]:
        if not texts:
            raise EmptyError("there is nothing in it", param=param)
        if len(texts) > self._max_client_batch_size:
            limit = self._max_client_batch_size
            raise InvalidError(f"`{len(texts)}` texts are more than `{limit}`, the limit of a request", param=param)
        return texts


def json_response(answer: object, *, status: int = 200, truncated: int = 0, timings: Timings | None = None) -> Response:
    """Write JSON, and in headers how many texts were cut to the model's length, if any were, and where time went."""
    headers = timings.headers() if timings else {}
    if truncated:
        headers["x-truncated"] = str(truncated)
    return Response(schemas.encode(answer), status_code=status, media_type="application/json", headers=headers)


def _input_texts(given: str | list[str | int | list[int]]) -> list[str]:
    items = [given] if isinstance(given, str) else given
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) < len(items):
        raise InvalidError("token ids are not read here, send text", param="input")
    if "" in texts:
        raise EmptyError(f"text `{texts.index('')}` is empty", param="input")
    return texts


def _documents(asked: schemas.RerankRequest) -> tuple[list[str], str]:
    if asked.texts is not None and asked.documents is not None:
        raise InvalidError("give `documents` or `texts`, not both", param="texts")
    if asked.texts is not None:
        return asked.texts, "texts"
    if asked.documents is None:
        raise InvalidError("Object missing required field `documents` (or `texts`)")
    return [item if isinstance(item, str) else item.text for item in asked.documents], "documents"


def _results(ranking: "Ranking", *, documents: list[str] | None) -> list[schemas.RerankResult]:
    return [
        schemas.RerankResult(
            index=index,
            relevance_score=score,
            document=None if documents is None else schemas.TextDocument(text=documents[index]),
        )
        for index, score in zip(ranking.positions, ranking.scores, strict=True)
    ]


def _tei(ranking: "Ranking", *, texts: list[str] | None) -> list[schemas.RankedText]:
    return [
        schemas.RankedText(index=index, score=score, text=None if texts is None else texts[index])
        for index, score in zip(ranking.positions, ranking.scores, strict=True)
    ]


def _usage(tokens: int) -> schemas.Usage:
    return schemas.Usage(prompt_tokens=tokens, total_tokens=tokens)


def _numbers(vector: "NDArray[np.float32]") -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers


def _base64(vector: "NDArray[np.float32]") -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")

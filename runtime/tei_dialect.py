"""Own what the routes of text-embeddings-inference (TEI) mean: request to service to answer."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import runtime
from runtime import cohere_dialect
from runtime.accuracy import ModelReport, of_graph
from runtime.bundle import Model, Side, Task
from runtime.cohere_shapes import CohereRerankRequest, Document
from runtime.errors import EmptyError, InvalidError
from runtime.handler import Backend, Reply, renamed, work_headers
from runtime.inputs import predicted_of, texts_of
from runtime.service import find
from runtime.tei_shapes import (
    DecodeRequest,
    EmbedRequest,
    Info,
    InfoRequest,
    Optimization,
    Prediction,
    PredictRequest,
    RankedText,
    RerankRequest,
    SimilarityParameters,
    SimilarityRequest,
    SimpleToken,
    TokenizeRequest,
    TruncationDirection,
)

if TYPE_CHECKING:  # these come with the models, after the server listens
    from runtime.classifier import Classes
    from runtime.tokenizer import Token


async def embed(backend: Backend, asked: EmbedRequest) -> Reply:
    """Embed texts or token ids, as TEI's `/embed`."""
    texts = backend.embeddable(texts_of(asked.inputs, param="inputs"), param="inputs")
    with renamed(input="inputs"):
        _, result = await backend.service.embed(
            texts,
            model=asked.model,
            prompt_name=asked.prompt_name,
            dimensions=asked.dimensions,
            normalize=asked.normalize,
            truncate=asked.truncate is not False,
            keep=_kept_side(asked.truncation_direction),
        )
    headers = work_headers(texts, result=result)
    return Reply(body=result.encoded("float"), headers=headers)


async def rerank(backend: Backend, asked: RerankRequest) -> Reply:
    """Rank texts, as TEI's `/rerank`; documents, as Cohere's and Jina's."""
    if asked.texts is not None and asked.documents is not None:
        raise InvalidError("give `documents` or `texts`, not both", param="texts")
    if asked.documents is not None:
        return await cohere_dialect.rerank_v1(backend, _as_cohere(asked, asked.documents))
    if asked.texts is None:
        raise InvalidError("Object missing required field `documents` (or `texts`)")
    if not asked.query:
        raise EmptyError("the query is empty", param="query")
    _, ranking = await backend.service.rerank(
        asked.query,
        backend.sized(asked.texts, param="texts"),
        model=asked.model,
        prompt_name=asked.prompt_name,
        raw_scores=bool(asked.raw_scores),
        truncate=asked.truncate is not False,
        keep=_kept_side(asked.truncation_direction),
    )
    answer = [
        RankedText(index=index, score=score, text=asked.texts[index] if asked.return_text else None)
        for index, score in zip(ranking.positions, ranking.scores, strict=True)
    ]
    headers = work_headers([asked.query, *asked.texts], result=ranking)
    return Reply(body=answer, headers=headers)


async def predict(backend: Backend, asked: PredictRequest) -> Reply:
    """Score the labels of texts or pairs, as TEI's `/predict`."""
    if _kept_side(asked.truncation_direction) == "right":
        raise InvalidError("what is scored is cut at its end", param="truncation_direction")
    inputs, is_batch = predicted_of(asked.inputs, param="inputs")
    _, classes = await backend.service.classify(
        backend.sized(inputs, param="inputs"),
        model=asked.model,
        raw_scores=bool(asked.raw_scores),
        truncate=asked.truncate is not False,
    )
    predictions = _predictions(classes)
    texts = [text for given in inputs for text in ([given] if isinstance(given, str) else given)]
    headers = work_headers(texts, result=classes)
    return Reply(body=predictions if is_batch else predictions[0], headers=headers)


async def similarity(backend: Backend, asked: SimilarityRequest) -> Reply:
    """Compare one text with others by the cosine of their embeddings, as TEI's `/similarity`."""
    how = asked.parameters or SimilarityParameters()
    sentences = backend.embeddable(asked.inputs.sentences, param="inputs.sentences")
    (source,) = backend.embeddable([asked.inputs.source_sentence], param="inputs.source_sentence")
    texts = [source, *sentences]
    with renamed(prompt_name="parameters.prompt_name"):
        _, result = await backend.service.embed(
            texts,
            model=asked.model,
            prompt_name=how.prompt_name,
            normalize=True,
            truncate=how.truncate is not False,
            keep=_kept_side(how.truncation_direction),
        )
    cosines = result.vectors[1:] @ result.vectors[0]
    headers = work_headers(texts, result=result)
    return Reply(body=cosines.tolist(), headers=headers)


async def tokenize(backend: Backend, asked: TokenizeRequest) -> Reply:
    """List the tokens of texts, as TEI's `/tokenize`."""
    texts = [asked.inputs] if isinstance(asked.inputs, str) else asked.inputs
    backend.sized(texts, param="inputs")
    loaded = backend.service.loaded(asked.model)

    def read() -> list[list[SimpleToken]]:
        return [
            [
                _simple(token)
                for token in loaded.tokens(
                    text,
                    prompt_name=asked.prompt_name,
                    add_special_tokens=asked.add_special_tokens is not False,
                )
            ]
            for text in texts
        ]

    return Reply(body=await asyncio.to_thread(read))


async def decode(backend: Backend, asked: DecodeRequest) -> Reply:
    """Make texts of token ids, as TEI's `/decode`."""
    sequences = [ids for ids in texts_of(asked.ids, param="ids") if not isinstance(ids, str)]
    backend.sized(sequences, param="ids")
    loaded = backend.service.loaded(asked.model)
    with renamed(input="ids"):
        skips = asked.skip_special_tokens is not False
        return Reply(body=[loaded.text(ids, skip_special_tokens=skips) for ids in sequences])


async def info(backend: Backend, asked: InfoRequest) -> Reply:
    """Describe the limits and one model, as TEI's `/info`; without a name, the first that embeds, else the first."""
    served = backend.service.models
    first = next((model for model in served if model.task == "embedding"), served[0])
    model = first if asked.model is None else find(served, asked.model)
    settings = backend.settings
    answer = Info(
        model_id=model.source,
        model_sha=model.revision,
        model_dtype=None,
        served_model_name=model.name,
        model_type=_model_type(model),
        max_input_length=model.max_length,
        max_batch_tokens=settings.max_batch_tokens,
        max_client_batch_size=settings.max_client_batch_size,
        payload_limit=settings.payload_limit,
        auto_truncate=True,
        dimensions=model.dimensions,
        prompts=tuple(model.prompts),
        version=runtime.__version__,
        models=[model.name for model in served],
        optimization=_optimization(model, backend.service.accuracy.get(model.name)),
    )
    return Reply(body=answer)


def _optimization(model: Model, report: ModelReport | None) -> Optimization | None:
    """Tell of the graph that a model is served with, nothing of one that is its own."""
    if model.derivation is None:
        return None
    facts, measured = model.derivation.facts, of_graph(report, model)
    return Optimization(
        graph=Path(model.graph).name,
        requires=model.derivation.requires,
        applied=[f"{step.step}: {step.detail}" for step in facts.applied],
        skipped=[f"{step.step}: {step.why}" for step in facts.skipped],
        accuracy={measure.name: measure.value for measure in measured.measures} if measured else {},
    )


def _as_cohere(asked: RerankRequest, documents: list[Document]) -> CohereRerankRequest:
    return CohereRerankRequest(
        query=asked.query,
        documents=documents,
        model=asked.model,
        top_n=asked.top_n,
        return_documents=asked.return_documents,
        rank_fields=asked.rank_fields,
        max_tokens_per_doc=asked.max_tokens_per_doc,
        raw_scores=asked.raw_scores,
        prompt_name=asked.prompt_name,
    )


def _kept_side(direction: TruncationDirection | None) -> Side:
    """Give the side that stays; the direction is the side that goes, and without one that is the right."""
    return "right" if direction in {"Left", "left"} else "left"


def _predictions(classes: "Classes") -> list[list[Prediction]]:
    """List the labels of each input, the best first; equal scores keep their order."""
    return [
        sorted(map(_prediction, classes.labels, scores), key=lambda prediction: -prediction.score)
        for scores in classes.scores.tolist()
    ]


def _prediction(label: str, score: float) -> Prediction:
    return Prediction(label=label, score=score)


def _simple(token: "Token") -> SimpleToken:
    return SimpleToken(id=token.id, text=token.text, special=token.start is None, start=token.start, stop=token.stop)


def _model_type(model: Model) -> dict[Task, dict[str, Any]]:
    if model.task == "embedding":
        return {"embedding": {"pooling": "+".join(model.pooling) or "none"}}
    numbers = {label: number for number, label in enumerate(model.labels)}
    return {model.task: {"id2label": {str(number): label for label, number in numbers.items()}, "label2id": numbers}}

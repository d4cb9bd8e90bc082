"""Own one request and its answer for each handler, as the documentation shows them; a test sends and reads them."""

from collections.abc import Mapping
from dataclasses import dataclass

from runtime import cohere_dialect, health, openai_dialect, tei_dialect
from runtime.handler import Handler

_QUERY = "How do I get back into my account?"
_DOCUMENTS = ["Interest rates rose by a quarter point.", "To reset a password, open Settings."]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """What is asked, unless it is in the address, and what is answered; vectors are shortened to two numbers."""

    request: object = None
    response: object


_RANKED: Mapping[str, object] = {
    "id": "0b0a1c5e-9d0c-4f5e-9c46-5a1f7f6f3c55",
    "model": "reranker",
    "results": [
        {"index": 1, "relevance_score": 0.97, "document": {"text": _DOCUMENTS[1]}},
        {"index": 0, "relevance_score": 0.02, "document": {"text": _DOCUMENTS[0]}},
    ],
    "meta": {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": 1},
        "tokens": {"input_tokens": 37, "output_tokens": 0},
    },
    "usage": {"prompt_tokens": 37, "total_tokens": 37},
}
_RERANK = Example(request={"query": _QUERY, "documents": _DOCUMENTS, "return_documents": True}, response=_RANKED)

_CARD: Mapping[str, object] = {
    "id": "embedder",
    "object": "model",
    "created": 0,
    "owned_by": "example",
    "task": "embedding",
    "source": "example/embedder",
    "revision": "5090578d9565bb06545b4552f76e6bc2c93e4a66",
    "max_length": 2048,
    "dimensions": [768, 256],
    "prompts": ["query", "document"],
}

EXAMPLES: Mapping[Handler, Example] = {
    openai_dialect.embeddings: Example(
        request={"input": [_QUERY], "encoding_format": "float"},
        response={
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
            "model": "embedder",
            "usage": {"prompt_tokens": 11, "total_tokens": 11},
        },
    ),
    openai_dialect.models: Example(response={"object": "list", "data": [_CARD]}),
    openai_dialect.model: Example(response=_CARD),
    cohere_dialect.rerank_v1: _RERANK,
    cohere_dialect.rerank_v2: _RERANK,
    cohere_dialect.embed: Example(
        request={"texts": [_QUERY], "input_type": "search_query", "embedding_types": ["float", "ubinary"]},
        response={
            "response_type": "embeddings_by_type",
            "id": "4d9b8c6f-3a86-4b6a-9b62-6f0d63a3e8a5",
            "embeddings": {"float": [[0.6, 0.8]], "ubinary": [[192]]},
            "texts": [_QUERY],
            "meta": {
                "api_version": {"version": "2"},
                "billed_units": {"input_tokens": 11},
                "tokens": {"input_tokens": 11, "output_tokens": 0},
            },
        },
    ),
    tei_dialect.embed: Example(request={"inputs": [_QUERY]}, response=[[0.6, 0.8]]),
    tei_dialect.rerank: Example(
        request={"query": _QUERY, "texts": _DOCUMENTS},
        response=[{"index": 1, "score": 0.97}, {"index": 0, "score": 0.02}],
    ),
    tei_dialect.predict: Example(
        request={"inputs": [[_QUERY, _DOCUMENTS[1]]]}, response=[[{"score": 0.97, "label": "LABEL_0"}]]
    ),
    tei_dialect.similarity: Example(
        request={"inputs": {"source_sentence": _QUERY, "sentences": _DOCUMENTS}}, response=[0.04, 0.53]
    ),
    tei_dialect.tokenize: Example(
        request={"inputs": "my account"},
        response=[
            [
                {"id": 101, "text": "[CLS]", "special": True, "start": None, "stop": None},
                {"id": 2026, "text": "my", "special": False, "start": 0, "stop": 2},
                {"id": 4070, "text": "account", "special": False, "start": 3, "stop": 10},
                {"id": 102, "text": "[SEP]", "special": True, "start": None, "stop": None},
            ]
        ],
    ),
    tei_dialect.decode: Example(request={"ids": [2, 4]}, response=["my account"]),
    tei_dialect.info: Example(
        response={
            "model_id": "example/embedder",
            "model_sha": "5090578d9565bb06545b4552f76e6bc2c93e4a66",
            "model_dtype": None,
            "served_model_name": "embedder",
            "model_type": {"embedding": {"pooling": "mean"}},
            "max_input_length": 2048,
            "max_batch_tokens": 1024,
            "max_client_batch_size": 2048,
            "payload_limit": 2000000,
            "auto_truncate": True,
            "dimensions": [768, 256],
            "prompts": ["query", "document"],
            "version": "0.1.0",
            "models": ["embedder", "reranker"],
            "optimization": {
                "graph": "model.onnx",
                "requires": [],
                "applied": ["int8: 24 of 24 matrices"],
                "skipped": [],
                "accuracy": {"mean_cosine": 0.9952, "least_cosine": 0.9897, "top10_overlap": 0.97},
            },
        }
    ),
    health.health: Example(response={"status": "ok"}),
    health.livez: Example(response={"status": "ok"}),
    health.metrics: Example(response='te_request_count_total{method="single"} 1.0\n'),
}

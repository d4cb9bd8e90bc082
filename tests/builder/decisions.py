"""Own short ways to let the builder decide a model that a test describes; it holds no expectations."""

from collections.abc import Mapping
from typing import Any

import pytest

from builder.errors import InputError
from builder.recipe import Recipe, decide
from tests.support.memory_repository import graph, manifest_model, repository

TOKENS: dict[str, list[int | str]] = {"last_hidden_state": ["batch", "sequence", 384]}
POOLED: dict[str, list[int | str]] = {
    "last_hidden_state": ["batch", "sequence", 768],
    "sentence_embedding": ["batch", 768],
}
BERT = {"hidden_size": 384, "max_position_embeddings": 512, "model_type": "bert", "pad_token_id": 0}

_MODULES = "sentence_transformers.models"


def modules(*names: str) -> list[dict[str, str]]:
    paths = ["", *(f"{number}_{name}" for number, name in enumerate(names[1:], start=1))]
    return [{"type": f"{_MODULES}.{name}", "path": path} for name, path in zip(names, paths, strict=True)]


def embedding(outputs: Mapping[str, Any], files: Mapping[str, Any] | None = None, **keys: Any) -> Recipe:
    """Decide an embedding model with these graph outputs, further files, and keys of the manifest."""
    every = {"model.onnx": graph(outputs), "config.json": BERT, "tokenizer.json": {}, **(files or {})}
    return decide(manifest_model(task="embedding", **keys), repository(every))


def reranker(config: Mapping[str, Any], files: Mapping[str, Any] | None = None, **keys: Any) -> Recipe:
    """Decide a reranker with this config.json, further files, and keys of the manifest."""
    logits = graph({"logits": ["batch", "labels"]})
    every = {"model.onnx": logits, "config.json": {**BERT, **config}, "tokenizer.json": {}, **(files or {})}
    return decide(manifest_model(task="reranker", **keys), repository(every))


def classifier(config: Mapping[str, Any], files: Mapping[str, Any] | None = None, **keys: Any) -> Recipe:
    """Decide a classifier with this config.json, further files, and keys of the manifest."""
    logits = graph({"logits": ["batch", "labels"]})
    every = {"model.onnx": logits, "config.json": {**BERT, **config}, "tokenizer.json": {}, **(files or {})}
    return decide(manifest_model(task="classifier", **keys), repository(every))


def refusal(outputs: Mapping[str, Any], files: Mapping[str, Any] | None = None, **keys: Any) -> tuple[str, str | None]:
    with pytest.raises(InputError) as caught:
        embedding(outputs, files, **keys)
    return caught.value.message, caught.value.hint

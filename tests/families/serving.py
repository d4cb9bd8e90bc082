"""Own the way of a tiny model from its folder to an answer: decided, bundled and loaded as in an image."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from builder import bundle
from builder.folder import open_folder
from builder.recipe import decide
from runtime.bundle import Bundle
from runtime.classifier import Classifier
from runtime.embedder import Embedder
from runtime.inference import load
from runtime.reranker import Reranker
from tests.builder import data
from tests.runtime import tiny
from tests.support.memory_repository import manifest_model

CONFIG: dict[str, Any] = {"model_type": "bert", "max_position_embeddings": 64, "pad_token_id": tiny.PAD}
OLD, NEW = "sentence_transformers.models", "sentence_transformers.base.modules"


def configs(folder: Path, **files: Any) -> None:
    """Write JSON files; a name's double underscore stands for a slash, and `.json` is added."""
    for name, content in {"config": CONFIG, **files}.items():
        file = folder / (name.replace("__", "/") + ".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))


def modules(*names: str, package: str = OLD) -> list[dict[str, str]]:
    """List a pipeline as `modules.json` does."""
    paths = ["", *(f"{number}_{name}" for number, name in enumerate(names[1:], start=1))]
    return [{"type": f"{package}.{name}", "path": path} for name, path in zip(names, paths, strict=True)]


def bundled(folder: Path, keys: Mapping[str, Any]) -> Bundle:
    """Decide with these keys of a manifest how the model in `folder` is served, as the server reads it."""
    repository = open_folder(folder, name="m", cache_directory=folder.parent / "cache")
    recipe = decide(manifest_model(**keys), repository)
    document = json.loads(bundle.document([data.local(folder, recipe=recipe)]))
    document["models"][0]["path"] = str(folder)
    return msgspec.convert(document, Bundle)


def served(folder: Path, keys: Mapping[str, Any]) -> Embedder | Reranker | Classifier:
    """Load the model in `folder` as it is decided."""
    (model,) = bundled(folder, keys).models
    return load(model, threads=1)

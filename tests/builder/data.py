"""Values that several tests of the builder start from."""

from pathlib import Path

from builder.lock import Lock, LockedModel
from builder.plan import ImagePlan
from builder.recipe import Recipe

COMMIT = "5090578d9565bb06545b4552f76e6bc2c93e4a66"
EMBEDDER_RECIPE = Recipe(
    task="embedding",
    graph="onnx/model.onnx",
    output="last_hidden_state",
    pooling="mean",
    normalize=True,
    dimensions=(384, 128),
    prompts={"query": "query: "},
    default_prompt=None,
    max_length=256,
    pad_token_id=0,
    activation=None,
    files=("config.json", "onnx/model.onnx", "tokenizer.json"),
)
RERANKER_RECIPE = Recipe(
    task="reranker",
    graph="onnx/model.onnx",
    output="logits",
    pooling=None,
    normalize=False,
    dimensions=(),
    prompts={},
    default_prompt=None,
    max_length=1024,
    pad_token_id=1,
    activation="sigmoid",
    files=("config.json", "onnx/model.onnx", "tokenizer.json"),
)


def fetched(name: str = "reranker", recipe: Recipe = RERANKER_RECIPE) -> LockedModel:
    """Make a model that a stage downloads."""
    return LockedModel(
        name=name,
        source=f"example/{name}",
        revision=COMMIT,
        recipe=recipe,
        folder=None,
        size_bytes=1000,
        cache_files={f"hub/models--example--{name}/refs/main": COMMIT.encode()},
    )


def local(folder: Path, name: str = "embedder", recipe: Recipe = EMBEDDER_RECIPE) -> LockedModel:
    """Make a model that is copied from `folder`."""
    return LockedModel(
        name=name,
        source=f"local/{name}",
        revision="a" * 40,
        recipe=recipe,
        folder=folder,
        size_bytes=2000,
        cache_files={f"hub/models--local--{name}/refs/main": b"a" * 40},
    )


def image(*models: LockedModel, name: str = "retrieval") -> ImagePlan:
    """Make a plan of an image with `models`."""
    return ImagePlan(
        name=name, base="debian:bookworm-slim", platform=None, models=models, references=(f"example/{name}:latest",)
    )


def lock(*models: LockedModel) -> Lock:
    """Make a lock of `models`."""
    return Lock({model.name: model for model in models})

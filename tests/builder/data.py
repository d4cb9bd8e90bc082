"""Values that several tests of the builder start from."""

from pathlib import Path

from builder.inputs import Input
from builder.layers import Dense, LayerNorm
from builder.lock import Lock, LockedFile, LockedModel
from builder.manifest import Kind
from builder.plan import ImagePlan
from builder.recipe import Recipe
from builder.reranking import Windows

COMMIT = "5090578d9565bb06545b4552f76e6bc2c93e4a66"
CERTIFICATE = b"""\
-----BEGIN CERTIFICATE-----
MIIBSDCB+6ADAgECAhQDCNJ/E5WsTOB+MhX9KadL2mklKjAFBgMrZXAwGTEXMBUG
A1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIzMTkyMTUyWhgPMjEyNjEwMzAx
OTIxNTJaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MCowBQYDK2VwAyEASMdE
s7bYFqrc5MxkqcEzr8AVTM8GgR97ClKd0g7oZcKjUzBRMB0GA1UdDgQWBBTsss8b
5E638A7WrqcVl25lK4VYszAfBgNVHSMEGDAWgBTsss8b5E638A7WrqcVl25lK4VY
szAPBgNVHRMBAf8EBTADAQH/MAUGAytlcANBACBbZLbjHiMuQSbWTgVKgamZ29Ex
N7DLsXwz3DeEg7YcluDz8DrFnfL7gZeyK8ikUPtc0ZfmBndMpKBn/cpM7QE=
-----END CERTIFICATE-----
"""
INPUTS = {
    "input_ids": Input(feed="input_ids", dtype="int64", shape=("batch", "sequence")),
    "attention_mask": Input(feed="attention_mask", dtype="int64", shape=("batch", "sequence")),
}
EMBEDDER_RECIPE = Recipe(
    task="embedding",
    graph="onnx/model.onnx",
    inputs=INPUTS | {"past_key_values.0.key": Input(feed="zeros", dtype="float16", shape=("batch", 8, 0, 128))},
    output="last_hidden_state",
    pooling=("cls", "mean"),
    include_prompt=False,
    layers=(
        Dense(weights="2_Dense/model.safetensors", in_features=768, out_features=384, bias=True, activation="tanh"),
        LayerNorm(weights="3_LayerNorm/model.safetensors", in_features=384),
    ),
    normalize=True,
    dimensions=(384, 128),
    adapters={"query": 1},
    prompts={"query": "query: "},
    default_prompt="query",
    max_length=256,
    pad_token_id=0,
    padding_side="left",
    activation=None,
    files=("config.json", "onnx/model.onnx", "tokenizer.json"),
)
RERANKER_RECIPE = Recipe(
    task="reranker",
    graph="onnx/model.onnx",
    inputs=INPUTS,
    output="logits",
    pooling=(),
    include_prompt=True,
    layers=(),
    normalize=False,
    dimensions=(),
    prompts={},
    default_prompt=None,
    max_length=1024,
    pad_token_id=1,
    padding_side="right",
    first_position=2,
    quantizes_dynamically=True,
    batching=False,
    labels=("LABEL_0",),
    activation="sigmoid",
    answer_tokens=(9, 2),
    template="{query} {document}",
    windows=Windows(query_length=512, overlap=80),
    files=("config.json", "onnx/model.onnx", "tokenizer.json"),
)


FILES = {
    "config.json": LockedFile(size_bytes=100, sha256="c" * 64, blob_id="d" * 40, is_large=False),
    "onnx/model.onnx": LockedFile(size_bytes=800, sha256="e" * 64, blob_id="f" * 40, is_large=True),
    "tokenizer.json": LockedFile(size_bytes=100, sha256="a" * 64, blob_id="b" * 40, is_large=True),
}


def fetched(name: str = "reranker", recipe: Recipe = RERANKER_RECIPE) -> LockedModel:
    """Make a model that a stage downloads."""
    return LockedModel(
        name=name,
        asked={"task": recipe.task, "repo": f"example/{name}", "revision": "main", "dtype": "fp32"},
        source=f"example/{name}",
        revision=COMMIT,
        licence="apache-2.0",
        is_gated=False,
        recipe=recipe,
        files=FILES,
        folder=None,
    )


def local(folder: Path, name: str = "embedder", recipe: Recipe = EMBEDDER_RECIPE) -> LockedModel:
    """Make a model that is copied from `folder`."""
    return LockedModel(
        name=name,
        asked={"task": recipe.task, "path": name, "revision": "main", "dtype": "fp32"},
        source=f"local/{name}",
        revision="a" * 40,
        licence="",
        is_gated=False,
        recipe=recipe,
        files=FILES,
        folder=folder,
    )


def image(*models: LockedModel, name: str = "retrieval", kind: Kind = "server") -> ImagePlan:
    """Make a plan of an image with `models`."""
    return ImagePlan(
        name=name,
        kind=kind,
        base="debian:bookworm-slim",
        platform=None,
        models=models,
        references=(f"example/{name}:latest",),
    )


def lock(*models: LockedModel) -> Lock:
    """Make a lock of `models`."""
    return Lock(models={model.name: model for model in models})

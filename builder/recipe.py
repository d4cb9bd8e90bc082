"""Own how a model is served, decided once from its repository and the manifest; it downloads and guesses nothing.

What the repository says is the default, what the manifest says wins, and what neither says is an InputError that
names the key to set.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from builder import embedding, evidence, limits, reranking
from builder.dense import Dense
from builder.errors import InputError
from builder.evidence import Evidence
from builder.inputs import Input
from builder.manifest import Activation, Model, PoolingMode, Task
from builder.repository import Repository
from builder.selection import baked_paths

_FORBIDDEN_KEYS: dict[Task, tuple[str, ...]] = {
    "embedding": ("activation",),
    "reranker": ("pooling", "normalize", "prompts", "default_prompt", "dimensions"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How to serve one model, and the files that takes.

    `inputs` has every input of the graph by name. `pooling` has the modes whose vectors are concatenated; it is empty
    when the graph pools, or for a reranker. `include_prompt` tells whether the prompt's tokens are pooled too. `dense`
    are layers after pooling. `dimensions` starts with the native width, and is empty for a reranker; `activation` is
    None for an embedding. `files` has every path to bake, sorted.
    """

    task: Task
    graph: str
    inputs: Mapping[str, Input]
    output: str
    pooling: tuple[PoolingMode, ...]
    include_prompt: bool
    dense: tuple[Dense, ...]
    normalize: bool
    dimensions: tuple[int, ...]
    prompts: Mapping[str, str]
    default_prompt: str | None
    max_length: int
    pad_token_id: int
    padding_side: limits.Side
    activation: Activation | None
    files: tuple[str, ...]


def decide(model: Model, repository: Repository) -> Recipe:
    """Decide how `model` is served; raises InputError for what can't be decided or is not supported yet."""
    _refuse_keys_of_another_task(model)
    found = evidence.gather(model, repository)
    return _embedding(found) if model.task == "embedding" else _reranker(found)


def _refuse_keys_of_another_task(model: Model) -> None:
    for key in _FORBIDDEN_KEYS[model.task]:
        if getattr(model, key) is not None:
            message = f"`models.{model.name}.{key}` means nothing for the task `{model.task}`"
            raise InputError(message, hint="remove it, or correct `task`")


def _embedding(found: Evidence) -> Recipe:
    output = evidence.output(found, embedding.OUTPUTS)
    decided = embedding.decide_embedding(found, output)
    return Recipe(
        task="embedding",
        graph=found.graph_path,
        inputs=found.inputs,
        output=output.name,
        pooling=decided.pooling,
        include_prompt=decided.include_prompt,
        dense=decided.dense,
        normalize=decided.normalize,
        dimensions=decided.dimensions,
        prompts=decided.prompts,
        default_prompt=decided.default_prompt,
        max_length=found.max_length,
        pad_token_id=found.pad_token_id,
        padding_side=found.padding_side,
        activation=None,
        files=_files(found, [layer.weights for layer in decided.dense]),
    )


def _reranker(found: Evidence) -> Recipe:
    output = evidence.output(found, reranking.OUTPUTS)
    return Recipe(
        task="reranker",
        graph=found.graph_path,
        inputs=found.inputs,
        output=output.name,
        pooling=(),
        include_prompt=True,
        dense=(),
        normalize=False,
        dimensions=(),
        prompts={},
        default_prompt=None,
        max_length=found.max_length,
        pad_token_id=found.pad_token_id,
        padding_side=found.padding_side,
        activation=reranking.decide_activation(found, output),
        files=_files(found, []),
    )


def _files(found: Evidence, dense_weights: list[str]) -> tuple[str, ...]:
    weights = [*found.external_data, *dense_weights]
    return baked_paths(found.repository, graph=found.graph_path, weights=weights)

"""Own how a model is served, decided once from its repository and the manifest; it downloads and guesses nothing.

What the repository says is the default, what the manifest says wins, and what neither says is an InputError that
names the key to set.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from builder import causal, classification, embedding, evidence, limits, reranking
from builder.errors import InputError
from builder.evidence import Evidence
from builder.graph import GraphValue
from builder.inputs import Input
from builder.layers import Layer
from builder.manifest import Activation, Model, PoolingMode, Task
from builder.prompts import decide_prompts
from builder.repository import Repository
from builder.reranking import Windows
from builder.selection import baked_paths

# Keys of the manifest that mean something for some tasks only.
_TASKS_OF_KEYS: dict[str, tuple[Task, ...]] = {
    "pooling": ("embedding",),
    "normalize": ("embedding",),
    "dimensions": ("embedding",),
    "adapters": ("embedding",),
    "activation": ("reranker", "classifier"),
    "template": ("reranker",),
    "true_token": ("reranker",),
    "false_token": ("reranker",),
    "long_documents": ("reranker",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How to serve one model, and the files that takes.

    `inputs` has every input of the graph by name. What means nothing for a task stands at its default: `pooling` to
    `adapters` are an embedding's, `labels` to `windows` a reranker's or classifier's.

    `pooling` has the modes whose vectors are concatenated, none when the graph pools. `include_prompt` tells whether
    the prompt's tokens are pooled too. `layers` come after pooling. `dimensions` starts with the native width.
    `adapters` numbers the LoRA adapter of each prompt. `labels` name the scores; `answer_tokens` are those whose
    logits make the score of a causal model. `first_position` is that of a text's first token. `batching` tells whether
    texts may share a run of the graph. `files` has every path to bake, sorted.
    """

    task: Task
    graph: str
    inputs: Mapping[str, Input]
    output: str
    pooling: tuple[PoolingMode, ...] = ()
    include_prompt: bool = True
    layers: tuple[Layer, ...] = ()
    normalize: bool = False
    dimensions: tuple[int, ...] = ()
    adapters: Mapping[str, int] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    activation: Activation | None = None
    answer_tokens: tuple[int, ...] = ()
    template: str | None = None
    windows: Windows | None = None
    prompts: Mapping[str, str]
    default_prompt: str | None
    max_length: int
    pad_token_id: int
    padding_side: limits.Side
    first_position: int = 0
    quantizes_dynamically: bool = False
    batching: bool = True
    files: tuple[str, ...]


def decide(model: Model, repository: Repository) -> Recipe:
    """Decide how `model` is served; raises InputError for what can't be decided or is not supported yet."""
    _refuse_keys_of_another_task(model)
    found = evidence.gather(model, repository)
    if model.task == "embedding":
        return _embedding(found)
    output = evidence.output(found, classification.OUTPUTS)
    return _reranker(found, output) if model.task == "reranker" else _classifier(found, output)


def warnings(recipe: Recipe) -> Iterator[str]:
    """Yield what somebody who serves this should know."""
    if recipe.quantizes_dynamically:
        scale = f"`{recipe.graph}` quantises what it computes by the range of a whole run"
        yield (
            f"{scale}: with `batching: true` an answer depends on the texts that share its run"
            if recipe.batching
            else f"{scale}: each text runs alone, or its answer would depend on others (`batching: true` allows that)"
        )


def _refuse_keys_of_another_task(model: Model) -> None:
    for key, tasks in _TASKS_OF_KEYS.items():
        if model.task not in tasks and getattr(model, key) is not None:
            message = f"`models.{model.name}.{key}` means nothing for the task `{model.task}`"
            raise InputError(message, hint="remove it, or correct `task`")


def _embedding(found: Evidence) -> Recipe:
    output = evidence.output(found, embedding.OUTPUTS)
    decided = embedding.decide_embedding(found, output)
    return replace(
        _shared(found, output, weights=[layer.weights for layer in decided.layers]),
        pooling=decided.pooling,
        include_prompt=decided.include_prompt,
        layers=decided.layers,
        normalize=decided.normalize,
        dimensions=decided.dimensions,
    )


def _reranker(found: Evidence, output: GraphValue) -> Recipe:
    shared = _shared(found, output)
    decided = reranking.decide_reranking(found, output, default_prompt=shared.default_prompt)
    return replace(
        shared,
        labels=decided.labels,
        activation=decided.activation,
        answer_tokens=decided.answer_tokens,
        template=decided.template,
        windows=decided.windows,
    )


def _classifier(found: Evidence, output: GraphValue) -> Recipe:
    labels = classification.decide_labels(found, output)
    activation = classification.decide_activation(found, count=len(labels))
    return replace(_shared(found, output), labels=labels, activation=activation)


def _shared(found: Evidence, output: GraphValue, *, weights: Sequence[str] = ()) -> Recipe:
    """Decide what every task needs; `weights` are files beside the graph and its own."""
    prompts = decide_prompts(found)
    return Recipe(
        task=found.model.task,
        graph=found.graph_path,
        inputs=found.inputs,
        output=output.name,
        adapters=prompts.adapters,
        prompts=prompts.texts,
        default_prompt=prompts.default,
        max_length=found.max_length,
        pad_token_id=found.pad_token_id,
        padding_side=found.padding_side,
        first_position=found.first_position,
        quantizes_dynamically=found.graph.quantizes_dynamically,
        batching=_batching(found, output),
        files=baked_paths(found.repository, graph=found.graph_path, weights=[*found.external_data, *weights]),
    )


def _batching(found: Evidence, output: GraphValue) -> bool:
    """Decide whether texts may share a run: not by default where they change each other's numbers.

    Nor where every token of a run costs a row of the vocabulary: 4,096 tokens of Qwen3's make 2.5 GB of logits.
    """
    if found.model.batching is not None:
        return found.model.batching
    has_logits = found.model.task == "reranker" and causal.is_causal(output)
    return not found.graph.quantizes_dynamically and not has_logits

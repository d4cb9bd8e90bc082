"""Own how a model is served, decided once from its repository and the manifest; it downloads and guesses nothing.

What the repository says is the default, what the manifest says wins, and what neither says is an InputError that
names the key to set.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builder import limits
from builder.errors import InputError
from builder.graph import Graph, GraphValue, read_graph
from builder.manifest import Activation, Model, Pooling, Task
from builder.repository import Repository, read_json_object
from builder.selection import baked_paths, external_data_paths, graph_path
from builder.sentence_transformers import SentenceFiles, read_sentence_files

_FED_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_FED_TYPES = {"int64", "int32"}
_EMBEDDING_OUTPUTS = ("sentence_embedding", "last_hidden_state", "token_embeddings")
_RERANKER_OUTPUTS = ("logits",)
_ACTIVATIONS: dict[str, Activation] = {"Sigmoid": "sigmoid", "Identity": "identity"}
_POOLINGS: dict[tuple[str, ...], Pooling] = {("mean",): "mean", ("cls",): "cls"}
_SERVED_MODULES = {"Transformer", "Pooling", "Normalize"}
_FORBIDDEN_KEYS: dict[Task, tuple[str, ...]] = {
    "embedding": ("activation",),
    "reranker": ("pooling", "normalize", "prompts", "default_prompt", "dimensions"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How to serve one model, and the files that takes.

    `pooling` is None when the graph pools, or for a reranker; `dimensions` starts with the native width, and is
    empty for a reranker; `activation` is None for an embedding. `files` has every path to bake, sorted.
    """

    task: Task
    graph: str
    output: str
    pooling: Pooling | None
    normalize: bool
    dimensions: tuple[int, ...]
    prompts: Mapping[str, str]
    default_prompt: str | None
    max_length: int
    pad_token_id: int
    activation: Activation | None
    files: tuple[str, ...]


def decide(model: Model, repository: Repository) -> Recipe:
    """Decide how `model` is served; raises InputError for what can't be decided or is not supported yet."""
    _refuse_keys_of_another_task(model)
    evidence = _gather(model, repository)
    output = _output(evidence)
    return _embedding(evidence, output) if model.task == "embedding" else _reranker(evidence, output)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Evidence:
    """What was read of one model, and what is decided in the same way for every task."""

    model: Model
    source: str
    graph_path: str
    graph: Graph
    files: tuple[str, ...]
    config: Mapping[str, Any]
    sentence: SentenceFiles
    max_length: int
    pad_token_id: int

    def undecided(self, key: str, what: str, *, hint: str = "") -> InputError:
        """Return the refusal to guess: neither side says `what`, and `key` would."""
        message = f"neither the manifest nor `{self.source}` says {what}"
        return InputError(message, hint=f"set `models.{self.model.name}.{key}`{hint}")


def _refuse_keys_of_another_task(model: Model) -> None:
    for key in _FORBIDDEN_KEYS[model.task]:
        if getattr(model, key) is not None:
            message = f"`models.{model.name}.{key}` means nothing for the task `{model.task}`"
            raise InputError(message, hint="remove it, or correct `task`")


def _gather(model: Model, repository: Repository) -> _Evidence:
    path = graph_path(model, repository)
    with repository.open(path) as stream:
        graph = read_graph(stream, path=path)
    _check_inputs(graph, path=path)
    external_data = external_data_paths(path, graph.external_data, repository)
    config = read_json_object(repository, "config.json")
    sentence = read_sentence_files(repository)
    return _Evidence(
        model=model,
        source=repository.source,
        graph_path=path,
        graph=graph,
        files=baked_paths(repository, graph=path, external_data=external_data),
        config=config,
        sentence=sentence,
        max_length=limits.max_length(
            repository,
            config,
            name=model.name,
            wanted=model.max_length,
            max_seq_length=sentence.max_seq_length,
        ),
        pad_token_id=limits.pad_token_id(repository, config),
    )


def _check_inputs(graph: Graph, *, path: str) -> None:
    for value in graph.inputs:
        if value.name not in _FED_INPUTS or value.element_type not in _FED_TYPES:
            raise InputError(f"`{path}` wants the input `{value.name}` ({value.element_type}), not supported yet")


def _output(evidence: _Evidence) -> GraphValue:
    outputs = {value.name: value for value in evidence.graph.outputs}
    wanted = evidence.model.output
    if wanted is not None and wanted not in outputs:
        hint = f"set `models.{evidence.model.name}.output` to one of: {', '.join(outputs)}"
        raise InputError(f"`{evidence.graph_path}` of `{evidence.source}` has no output `{wanted}`", hint=hint)
    known = _EMBEDDING_OUTPUTS if evidence.model.task == "embedding" else _RERANKER_OUTPUTS
    for name in [wanted] if wanted is not None else known:
        if name in outputs:
            return outputs[name]
    raise evidence.undecided("output", "which output of the graph to read", hint=f" to one of: {', '.join(outputs)}")


def _embedding(evidence: _Evidence, output: GraphValue) -> Recipe:
    pooling = _pooling(evidence, output)
    dimensions = _dimensions(evidence, output, is_pooled=pooling is None)
    prompts, default_prompt = _prompts(evidence)
    return Recipe(
        task="embedding",
        graph=evidence.graph_path,
        output=output.name,
        pooling=pooling,
        normalize=_normalize(evidence, is_pooled=pooling is None, is_shortened=len(dimensions) > 1),
        dimensions=dimensions,
        prompts=prompts,
        default_prompt=default_prompt,
        max_length=evidence.max_length,
        pad_token_id=evidence.pad_token_id,
        activation=None,
        files=evidence.files,
    )


def _pooling(evidence: _Evidence, output: GraphValue) -> Pooling | None:
    """Return the pooling that is left to do: none for an output of one vector a text, `[batch, width]`."""
    wanted = evidence.model.pooling
    key = f"models.{evidence.model.name}.pooling"
    if _is_pooled(output):
        if wanted is not None:
            hint = f"remove `{key}`, or choose an output of one vector a token with `output`"
            raise InputError(f"the output `{output.name}` of `{evidence.source}` is pooled already", hint=hint)
        return None
    _refuse_modules_outside(evidence)
    if wanted is not None:
        return wanted
    stated = evidence.sentence.pooling
    if stated is None:
        raise evidence.undecided(
            "pooling", "how token vectors are pooled", hint=" to `mean` or `cls`, as the model's card says"
        )
    if stated.modes not in _POOLINGS or not stated.includes_prompt:
        how = " and ".join(stated.modes) + ("" if stated.includes_prompt else " without the prompt")
        raise InputError(f"`{evidence.source}` is pooled by {how}, which is not supported yet")
    return _POOLINGS[stated.modes]


def _is_pooled(output: GraphValue) -> bool:
    if output.dimensions is None:
        return output.name == "sentence_embedding"
    return len(output.dimensions) == 2


def _refuse_modules_outside(evidence: _Evidence) -> None:
    """Refuse layers that the repository wants after pooling, when the graph stops before it."""
    outside = [module for module in evidence.sentence.modules or () if module not in _SERVED_MODULES]
    if outside:
        message = f"`{evidence.source}` has the module `{outside[0]}` outside of its graph, which is not supported yet"
        hint = "export the model with the module in the graph, as an output `sentence_embedding`"
        raise InputError(message, hint=hint)


def _normalize(evidence: _Evidence, *, is_pooled: bool, is_shortened: bool) -> bool:
    if evidence.model.normalize is not None:
        return evidence.model.normalize
    if evidence.sentence.modules is not None:
        return "Normalize" in evidence.sentence.modules
    if is_pooled:
        # The graph's vector is the embedding as it is. Only a shortened one has to become a unit vector again:
        # that is how Matryoshka embeddings are defined (Kusupati et al. 2022), and the manifest asks for them.
        return is_shortened
    raise evidence.undecided("normalize", "whether vectors are normalised", hint=" to true or false")


def _dimensions(evidence: _Evidence, output: GraphValue, *, is_pooled: bool) -> tuple[int, ...]:
    native = _native_width(evidence, output, is_pooled=is_pooled)
    wanted = evidence.model.dimensions
    if wanted is None:
        if native is None:
            raise evidence.undecided("dimensions", "how wide its vectors are")
        return (native,)
    key = f"models.{evidence.model.name}.dimensions"
    if native is not None and wanted[0] != native:
        message = f"`{key}` starts with {wanted[0]}, but the vectors of `{evidence.source}` have {native} dimensions"
        raise InputError(message, hint=f"start `{key}` with {native}")
    if wanted != sorted(set(wanted), reverse=True):
        raise InputError(f"`{key}` has to descend from the native width", hint="sort it, and name each width once")
    return tuple(wanted)


def _native_width(evidence: _Evidence, output: GraphValue, *, is_pooled: bool) -> int | None:
    """Return the width of a vector; the config's is that of a token, which layers in the graph may have changed."""
    width = output.dimensions[-1] if output.dimensions else None
    if isinstance(width, int) or is_pooled:
        return width if isinstance(width, int) else None
    hidden_size = evidence.config.get("hidden_size")
    return hidden_size if isinstance(hidden_size, int) else None


def _prompts(evidence: _Evidence) -> tuple[dict[str, str], str | None]:
    """Return prompts and the default's name; prompts of the manifest replace the repository's with their default."""
    model, sentence = evidence.model, evidence.sentence
    if model.prompts is None:
        prompts, default = dict(sentence.prompts), model.default_prompt or sentence.default_prompt
    else:
        prompts, default = dict(model.prompts), model.default_prompt
    if default is not None and default not in prompts:
        hint = f"set `models.{model.name}.default_prompt` to one of: {', '.join(prompts)}" if prompts else None
        raise InputError(f"the default prompt `{default}` of `{model.name}` is none of its prompts", hint=hint)
    return prompts, default


def _reranker(evidence: _Evidence, output: GraphValue) -> Recipe:
    labels = _label_count(evidence, output)
    if labels != 1:
        message = f"`{evidence.source}` gives {labels} scores for a pair; rerankers with one score are supported so far"
        raise InputError(message)
    return Recipe(
        task="reranker",
        graph=evidence.graph_path,
        output=output.name,
        pooling=None,
        normalize=False,
        dimensions=(),
        prompts={},
        default_prompt=None,
        max_length=evidence.max_length,
        pad_token_id=evidence.pad_token_id,
        activation=evidence.model.activation or _activation(evidence),
        files=evidence.files,
    )


def _label_count(evidence: _Evidence, output: GraphValue) -> int:
    """Count the scores of a pair, `[batch, labels]`."""
    if output.dimensions is not None and len(output.dimensions) != 2:
        message = f"the output `{output.name}` of `{evidence.source}` is not one row of scores a pair"
        raise InputError(f"{message}, which is not supported yet")
    width = output.dimensions[-1] if output.dimensions else None
    for stated in (width, evidence.config.get("num_labels"), len(evidence.config.get("id2label") or ())):
        if isinstance(stated, int) and stated > 0:
            return stated
    raise InputError(f"neither the graph nor `config.json` of `{evidence.source}` says how many scores a pair has")


def _activation(evidence: _Evidence) -> Activation:
    """Return the activation in the order of sentence-transformers' CrossEncoder; one label alone means sigmoid."""
    config = evidence.config
    stated = (
        evidence.sentence.activation_class
        or (config.get("sentence_transformers") or {}).get("activation_fn")
        or config.get("sbert_ce_default_activation_function")
    )
    if stated is None:
        return "sigmoid"
    module, _, name = str(stated).rpartition(".")
    if not module.startswith("torch.") or name not in _ACTIVATIONS:
        hint = f"set `models.{evidence.model.name}.activation` to one of: {', '.join(_ACTIVATIONS.values())}"
        raise InputError(f"`{evidence.source}` wants the activation `{stated}`, which is not supported yet", hint=hint)
    return _ACTIVATIONS[name]

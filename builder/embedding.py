"""Own how a graph's output becomes one embedding a text, decided from what was read; it reads no weights."""

from dataclasses import dataclass

from builder.errors import InputError
from builder.evidence import Evidence
from builder.graph import GraphValue
from builder.layers import Layer, check_chain, decide_layers, is_layer
from builder.manifest import PoolingMode
from builder.sentence_transformers import Module, Pooling

# `text_embeds` is what jina-embeddings-v3 calls its token vectors.
OUTPUTS = ("sentence_embedding", "last_hidden_state", "token_embeddings", "text_embeds")

# What stands in a pipeline that is served outside of the graph, with its place; layers may be several in any order.
_PIPELINE = {"Transformer": 0, "Pooling": 1, "Dense": 2, "LayerNorm": 2, "Normalize": 3}
_POOLED = "sentence_embedding"
_MODES: tuple[PoolingMode, ...] = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding:
    """What is left to do after the graph; `pooling` is empty where the graph pools."""

    pooling: tuple[PoolingMode, ...]
    include_prompt: bool
    layers: tuple[Layer, ...]
    normalize: bool
    dimensions: tuple[int, ...]


def decide_embedding(evidence: Evidence, output: GraphValue) -> Embedding:
    """Decide the way from `output` to the embedding; raises InputError for what neither side says."""
    pooling, layers = _outside(evidence, output)
    dimensions = _dimensions(evidence, _native_width(evidence, output, pooling=pooling, layers=layers))
    return Embedding(
        pooling=pooling,
        include_prompt=not pooling or evidence.sentence.pooling is None or evidence.sentence.pooling.includes_prompt,
        layers=layers,
        normalize=_normalize(evidence, is_pooled=not pooling, is_shortened=len(dimensions) > 1),
        dimensions=dimensions,
    )


def _outside(evidence: Evidence, output: GraphValue) -> tuple[tuple[PoolingMode, ...], tuple[Layer, ...]]:
    """Return the pooling and layers that the graph leaves to do: none after one vector a text, `[batch, width]`."""
    if not _is_pooled(output):
        _check_pipeline(evidence)
        return _pooling(evidence), decide_layers(evidence.sentence.modules or (), evidence.repository)
    if evidence.model.pooling is not None:
        hint = f"remove `models.{evidence.model.name}.pooling`, or choose an output of one vector a token with `output`"
        raise InputError(f"the output `{output.name}` of `{evidence.source}` is pooled already", hint=hint)
    return (), ()


def _is_pooled(output: GraphValue) -> bool:
    if output.dimensions is None:
        return output.name == _POOLED
    return len(output.dimensions) == 2


def _pooling(evidence: Evidence) -> tuple[PoolingMode, ...]:
    """Return the modes whose vectors are concatenated."""
    if evidence.model.pooling is not None:
        return tuple(evidence.model.pooling)
    stated = evidence.sentence.pooling
    if stated is None or not stated.modes:
        known = ", ".join(f"`{mode}`" for mode in _MODES)
        hint = f" as the model's card says, to one or a list of: {known}"
        raise evidence.undecided("pooling", "how token vectors are pooled", hint=hint)
    return tuple(_mode(name, stated, evidence) for name in stated.modes)


def _mode(name: str, stated: Pooling, evidence: Evidence) -> PoolingMode:
    for mode in _MODES:
        if mode == name:
            return mode
    message = f"`{evidence.source}` is pooled by {' and '.join(stated.modes)}, and `{name}` is not supported yet"
    raise InputError(message)


def _check_pipeline(evidence: Evidence) -> None:
    """Refuse what the repository wants after its transformer and is not served, when the graph stops before it."""
    modules = evidence.sentence.modules or ()
    for module in modules:
        if module.class_name not in _PIPELINE or not _passes_embeddings(module):
            message = f"`{evidence.source}` has the module `{module.class_name}` outside of its graph"
            hint = "export the model with the module in the graph, as an output `sentence_embedding`"
            raise InputError(f"{message}, which is not supported yet", hint=hint)
    names = [module.class_name for module in modules]
    single = [module.class_name for module in modules if not is_layer(module)]
    if names != sorted(names, key=_PIPELINE.__getitem__) or len({*single}) < len(single):
        raise InputError(f"`{evidence.source}` has its modules in an order that is not supported: {', '.join(names)}")


def _passes_embeddings(module: Module) -> bool:
    """Tell whether a module after pooling works on the embedding, and not on token vectors or a name of its own."""
    named = (module.config.get("module_input_name"), module.config.get("module_output_name"))
    return module.class_name in {"Transformer", "Pooling"} or {*named} <= {None, _POOLED}


def _normalize(evidence: Evidence, *, is_pooled: bool, is_shortened: bool) -> bool:
    if evidence.model.normalize is not None:
        return evidence.model.normalize
    if evidence.sentence.modules is not None:
        return any(module.class_name == "Normalize" for module in evidence.sentence.modules)
    if is_pooled:
        # The graph's vector is the embedding as it is. Only a shortened one has to become a unit vector again:
        # that is how Matryoshka embeddings are defined (Kusupati et al. 2022), and the manifest asks for them.
        return is_shortened
    raise evidence.undecided("normalize", "whether vectors are normalised", hint=" to true or false")


def _dimensions(evidence: Evidence, native: int | None) -> tuple[int, ...]:
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


def _native_width(
    evidence: Evidence, output: GraphValue, *, pooling: tuple[PoolingMode, ...], layers: tuple[Layer, ...]
) -> int | None:
    """Return the width of an embedding; the config's is that of a token, which layers in the graph may have changed."""
    last = output.dimensions[-1] if output.dimensions else None
    width = last if isinstance(last, int) else None
    if not pooling:
        return width
    if width is None:
        stated = evidence.config.get("hidden_size")
        width = stated if isinstance(stated, int) else None
    pooled = None if width is None else width * len(pooling)
    check_chain(layers, width=pooled, source=evidence.source)
    return layers[-1].out_features if layers else pooled

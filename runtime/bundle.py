"""Own `bundle.json`, the decisions baked with the models: read and checked whole, nothing left out is guessed.

Of a model that was optimised the bundle says where its derived graph lies, and `derived.json` there how that is run.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from runtime import processor
from runtime.errors import BundleError
from runtime.mounts import hiding

VERSION = 2

Task = Literal["embedding", "reranker", "classifier"]
PoolingMode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
Activation = Literal["sigmoid", "identity", "softmax"]
DenseActivation = Literal["identity", "tanh", "relu", "gelu", "silu", "sigmoid"]
Feed = Literal["input_ids", "attention_mask", "token_type_ids", "position_ids", "adapter", "zeros"]
Dtype = Literal["int64", "int32", "float32", "float16", "bool"]
Size = Annotated[int, msgspec.Meta(ge=0)] | Literal["batch", "sequence"]
Side = Literal["left", "right"]
Level = Literal["disabled", "basic", "extended", "all"]

_SMALL_BYTES = 512 * 2**20  # loaded

_MOST_ANSWERS = 2
_SHOWN_FILES = 2
_DERIVED = "derived.json"

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Count = Annotated[int, msgspec.Meta(ge=1)]
_Number = Annotated[int, msgspec.Meta(ge=0)]


class BakedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file as it was locked."""

    size_bytes: _Number
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one input of a graph is fed with: something of the texts, their adapter, or zeros of this shape."""

    feed: Feed
    dtype: Dtype
    shape: tuple[Size, ...]


class Dense(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="dense"):
    """A linear layer after pooling; `weights` is a safetensors file of the model, `residual` adds what went in."""

    weights: _Text
    in_features: _Count
    out_features: _Count
    bias: bool
    activation: DenseActivation
    residual: bool


class LayerNorm(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="layer_norm"
):
    """A layer after pooling that makes each vector's mean 0 and variance 1; `weights` is as above."""

    weights: _Text
    in_features: _Count


class Footprint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most bytes that a model takes: loaded, and for each token of a run and each pair of tokens of a text."""

    load_bytes: _Number
    token_bytes: _Number
    pair_bytes: _Number


class Windows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a long document is read in parts: with so many tokens of the query, special ones included."""

    query_length: _Count
    overlap: _Number


class Overlay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the build has put a derived graph, and the files of the model that it stands in for."""

    path: _Text
    replaces: tuple[_Text, ...]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One optimisation: `detail` says what it did, or `why` what kept it from being done."""

    step: _Text
    detail: str = ""
    why: str = ""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """Another derived graph, for processors that have every flag that it `requires`."""

    graph: _Text
    requires: tuple[str, ...]
    quantizes_dynamically: bool | None = None


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """What `derived.json` says: how the derived graph is run, and what was done to make it.

    `graph` is None where none could be made, and the original stays. `level` is how much ONNX Runtime may still
    optimise when it loads the graph.
    """

    graph: str | None
    output: _Text
    pooling: tuple[PoolingMode, ...]
    layers: tuple[Dense | LayerNorm, ...]
    answer_tokens: tuple[_Number, ...]
    inputs: dict[str, Input]
    quantizes_dynamically: bool
    batching: bool
    level: Level = "all"
    applied: tuple[Step, ...]
    skipped: tuple[Step, ...]
    versions: dict[str, str]
    files: dict[str, BakedFile]
    variants: tuple[Variant, ...]


class Derivation(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's graph was derived from, and the flags of processors that the chosen one `requires`."""

    original: _Text
    requires: tuple[str, ...]
    facts: Derived


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one model is served; `pooling` is empty where the output already is one vector a text.

    What follows it, up to `adapters`, is an embedding's alone, and `labels` to `windows` a reranker's or classifier's.
    `answer_tokens` are those whose logits make a causal model's score: the first one's, less the second one's.
    `overlay` is that of an optimised model alone. Where it holds a graph, that has the place of the model's own, and
    `derivation` tells of it; `graph` and the files of it are absolute paths then.
    """

    name: _Text
    task: Task
    source: _Text
    revision: _Text
    path: _Text
    graph: _Text
    inputs: dict[str, Input]
    output: _Text
    pooling: tuple[PoolingMode, ...]
    include_prompt: bool
    layers: tuple[Dense | LayerNorm, ...]
    normalize: bool
    dimensions: tuple[_Count, ...]
    adapters: dict[str, _Number]
    labels: tuple[str, ...]
    activation: Activation | None
    answer_tokens: tuple[_Number, ...]
    template: str | None
    windows: Windows | None
    prompts: dict[str, str]
    default_prompt: str | None
    max_length: _Count
    pad_token_id: _Number
    padding_side: Side
    first_position: _Number
    quantizes_dynamically: bool
    batching: bool
    footprint: Footprint | None
    files: dict[str, BakedFile]
    overlay: Overlay | None = None
    derivation: Derivation | None = None

    @property
    def original_graph(self) -> str:
        """Name the graph that the model came with."""
        return self.derivation.original if self.derivation else self.graph

    @property
    def level(self) -> Level:
        """Say how much ONNX Runtime may optimise the graph."""
        return self.derivation.facts.level if self.derivation else "all"

    @property
    def is_small(self) -> bool:
        """Whether its weights may be there twice, for two runs at a time; large ones gain less by it."""
        size_bytes = sum(file.size_bytes for file in self.files.values())
        return (size_bytes if self.footprint is None else self.footprint.load_bytes) <= _SMALL_BYTES

    @property
    def graph_file(self) -> Path:
        """Say where the ONNX graph lies."""
        return Path(self.path, self.graph)

    @property
    def tokenizer_file(self) -> Path:
        """Say where the tokenizer lies."""
        return Path(self.path, "tokenizer.json")


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The models of one image, in the order in which they are loaded."""

    version: Literal[2]
    models: tuple[Model, ...]


class _Versioned(msgspec.Struct):
    version: int


def read_bundle(path: Path, *, originals: Path | None = None) -> Bundle:
    """Read the bundle and look for every file that it names.

    Where `originals` is given, an optimised model is its original, which lies in a folder of its name there.

    Raises BundleError, with all problems in one line, and in another what is mounted over files that are missing.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"`{path}`: {error.strerror}") from error
    try:
        # the version comes first: a later one may have any other shape
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != VERSION:
            raise BundleError(f"`{path}`: version `{version}` is not the one this server reads, `{VERSION}`")
        bundle = _laid_over(msgspec.json.decode(content, type=Bundle), originals)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"`{path}`: {error}") from error
    if problems := list(_problems(bundle)):
        raise BundleError("\n".join([*_hidden(bundle), f"`{path}`: {'; '.join(problems)}"]))
    return bundle


def _laid_over(bundle: Bundle, originals: Path | None) -> Bundle:
    flags = processor.flags()
    models = (
        _fitting(model, flags) if originals is None else original(model, originals=originals) for model in bundle.models
    )
    return msgspec.structs.replace(bundle, models=tuple(models))


def _fitting(model: Model, flags: Collection[str]) -> Model:
    """Return the model with the first of its graphs that a processor with these `flags` can run."""
    return next(one for one in derived(model) if one.derivation is None or set(one.derivation.requires) <= set(flags))


def original(model: Model, *, originals: Path) -> Model:
    """Return a model with its files as they were before it was optimised."""
    if model.overlay is None:
        return model
    place = originals / model.name / model.path.removeprefix("/")
    return msgspec.structs.replace(model, path=str(place))


def derived(model: Model) -> tuple[Model, ...]:
    """Return a model with each of its derived graphs in place of its own; the last one runs on any processor.

    A model that has none is itself. Raises BundleError.
    """
    if model.overlay is None:
        return (model,)
    facts = read_derived(model.overlay)
    if facts.graph is None:
        return (model,)
    every = Variant(graph=facts.graph, requires=())
    return tuple(_with(model, model.overlay, facts, variant=variant) for variant in (*facts.variants, every))


def _with(model: Model, overlay: Overlay, facts: Derived, *, variant: Variant) -> Model:
    folder = Path(overlay.path)
    kept = {path: file for path, file in model.files.items() if path not in overlay.replaces}
    own = {str(folder / path): file for path, file in facts.files.items()}
    is_dynamic = facts.quantizes_dynamically if variant.quantizes_dynamically is None else variant.quantizes_dynamically
    may_batch = facts.batching and (facts.quantizes_dynamically or not is_dynamic)  # unless the manifest allows both
    return msgspec.structs.replace(
        model,
        graph=str(folder / variant.graph),
        output=facts.output,
        pooling=facts.pooling,
        layers=facts.layers,
        answer_tokens=facts.answer_tokens,
        inputs=facts.inputs,
        quantizes_dynamically=is_dynamic,
        batching=may_batch,
        files={**kept, **own},
        derivation=Derivation(original=model.graph, requires=variant.requires, facts=facts),
    )


def read_derived(overlay: Overlay) -> Derived:
    """Read what was derived for a model; raises BundleError."""
    file = Path(overlay.path, _DERIVED)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Derived)
    except OSError as error:
        raise BundleError(f"`{file}`: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"`{file}`: {error}") from error


def _hidden(bundle: Bundle) -> list[str]:
    """Say what hides the models of which files are missing, each thing once."""
    short = [Path(model.path) for model in bundle.models if any(_file_problems(model))]
    return list(dict.fromkeys(filter(None, map(hiding, short))))


def _problems(bundle: Bundle) -> Iterator[str]:
    if not bundle.models:
        yield "it names no models"
    for name, count in Counter(model.name for model in bundle.models).items():
        if count > 1:
            yield f"{count} models are called `{name}`"
    for model in bundle.models:
        files = list(_file_problems(model))
        more = [f"{len(files) - _SHOWN_FILES} more files are missing or others"] if len(files) > _SHOWN_FILES else []
        for problem in (*_decision_problems(model), *files[:_SHOWN_FILES], *more):
            yield f"model `{model.name}`: {problem}"


def _decision_problems(model: Model) -> Iterator[str]:
    if all(value.feed != "input_ids" for value in model.inputs.values()):
        yield "no input is fed with `input_ids`"
    if model.default_prompt is not None and model.default_prompt not in model.prompts:
        yield f"the default prompt `{model.default_prompt}` is not among the prompts"
    if bool(model.adapters) != any(value.feed == "adapter" for value in model.inputs.values()):
        yield "adapters and an input that is fed with one belong together"
    if model.adapters and model.adapters.keys() != model.prompts.keys():
        yield "each adapter needs a prompt, and each prompt an adapter"
    if model.adapters and model.default_prompt is None:
        yield "adapters need a default prompt"
    yield from _embedding_problems(model) if model.task == "embedding" else _scoring_problems(model)


def _scoring_problems(model: Model) -> Iterator[str]:
    if model.activation is None:
        yield f"a {model.task} needs an activation"
    if not model.labels:
        yield f"a {model.task} needs labels"
    if model.task == "reranker" and len(model.labels) > 1:
        yield f"a reranker has one label, not {len(model.labels)}"
    if len(model.answer_tokens) > _MOST_ANSWERS:
        yield f"a score comes from the logits of one or two tokens, not {len(model.answer_tokens)}"
    if model.template is not None and not all(model.template.count(place) == 1 for place in ("{query}", "{document}")):
        yield "a template holds `{query}` and `{document}` once each"


def _embedding_problems(model: Model) -> Iterator[str]:
    if model.layers and not model.pooling:
        yield "layers come after pooling, and there is none"
    if not model.dimensions:
        yield "an embedding model needs its dimensions"
    elif max(model.dimensions) > model.dimensions[0]:
        yield f"no dimension can be above the native one, `{model.dimensions[0]}`"


def _file_problems(model: Model) -> Iterator[str]:
    if not Path(model.path).is_absolute():
        yield f"`{model.path}` is not an absolute path"
        return
    weights = [Path(model.path, layer.weights) for layer in model.layers]
    sizes = {Path(model.path, name): baked.size_bytes for name, baked in sorted(model.files.items())}
    for file in dict.fromkeys((model.graph_file, model.tokenizer_file, *weights, *sizes)):
        if not file.is_file():
            yield f"`{file}` is not a file"
        elif file.stat().st_size != sizes.get(file, file.stat().st_size):
            yield f"`{file}` has {file.stat().st_size} bytes, and {sizes[file]} were baked"
